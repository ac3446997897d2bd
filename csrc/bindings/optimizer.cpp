// The updates of optimisers. All arrays of a call have one size; what an update does not need is None.
#include "arrays.h"

namespace advcore {
namespace {

template <class T>
T* state_of(MaybeArray<T>& array) {
    return array ? array->mutable_data() : nullptr;
}

template <class T>
UpdateArgs<T> update_of(Optimizer rule, Array<T>& parameter, const Array<T>& grad, MaybeArray<T>& velocity,
                        MaybeArray<T>& square, double rate, double momentum, double weight_decay) {
    UpdateArgs<T> args{};
    args.rule = rule;
    args.parameter = parameter.mutable_data(), args.grad = grad.data();
    args.velocity = state_of(velocity), args.square = state_of(square);
    args.size = static_cast<int64_t>(parameter.size());
    args.rate = static_cast<T>(rate), args.weight_decay = static_cast<T>(weight_decay);
    args.momentum = static_cast<T>(momentum), args.one_less_momentum = static_cast<T>(1 - momentum);
    return args;
}

template <class T>
void run_update(const UpdateArgs<T>& args) {
    const py::gil_scoped_release unlocked;
    run(kernels<T>().update, args, ceil_div(args.size, update_chunk), 4);
}

template <class T>
void sgd_update(Array<T> parameter, const Array<T>& grad, MaybeArray<T> velocity, double rate, double momentum,
                bool nesterov, double weight_decay) {
    MaybeArray<T> none;
    UpdateArgs<T> args = update_of(Optimizer::sgd, parameter, grad, velocity, none, rate, momentum, weight_decay);
    args.nesterov = nesterov;
    run_update(args);
}

template <class T>
void rmsprop_update(Array<T> parameter, const Array<T>& grad, MaybeArray<T> velocity, MaybeArray<T> square, double rate,
                    double momentum, double decay, double eps, double weight_decay) {
    UpdateArgs<T> args = update_of(Optimizer::rmsprop, parameter, grad, velocity, square, rate, momentum, weight_decay);
    args.decay = static_cast<T>(decay), args.one_less_decay = static_cast<T>(1 - decay);
    args.eps = static_cast<T>(eps);
    run_update(args);
}

template <class T>
void adam_update(Array<T> parameter, const Array<T>& grad, MaybeArray<T> mean, MaybeArray<T> square, double rate,
                 double beta1, double beta2, double eps, double correction, double weight_decay) {
    UpdateArgs<T> args = update_of(Optimizer::adam, parameter, grad, mean, square, rate, beta1, weight_decay);
    args.decay = static_cast<T>(beta2), args.one_less_decay = static_cast<T>(1 - beta2);
    args.eps = static_cast<T>(eps), args.correction = static_cast<T>(correction);
    run_update(args);
}

template <class T>
void bind(py::module_& m) {
    const auto array = [] { return py::arg().noconvert(); };
    const auto maybe = [] { return py::arg().noconvert().none(true); };
    const py::arg plain;
    m.def("sgd_update", &sgd_update<T>, array(), array(), maybe(), plain, plain, plain, plain);
    m.def("rmsprop_update", &rmsprop_update<T>, array(), array(), maybe(), array(), plain, plain, plain, plain, plain);
    m.def("adam_update", &adam_update<T>, array(), array(), array(), array(), plain, plain, plain, plain, plain, plain);
}

}  // namespace

void bind_optimizer(py::module_& m) {
    bind<float>(m);
    bind<double>(m);
}

}  // namespace advcore
