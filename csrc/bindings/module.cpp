#include "arrays.h"

namespace py = pybind11;

PYBIND11_MODULE(_core, m) {
    using namespace advcore;
    select_level();
    m.def("set_num_threads", &set_num_threads);
    m.def("get_num_threads", &get_num_threads);
    m.def("openmp_runtime", &openmp_runtime);
    m.def("level", &level);
    m.def("available_levels", &available_levels);
    m.def("_set_level", &set_level);
    bind_activations(m);
    bind_batch_norm_lstm(m);
    bind_checks(m);
    bind_convolution(m);
    bind_limits(m);
    bind_memory(m);
    bind_neighbors(m);
    bind_normalize(m);
    bind_optimizer(m);
    bind_perturb(m);
    bind_random(m);
    bind_recurrent(m);
    bind_pooling(m);
    bind_products(m);
    bind_program(m);
    bind_propagation(m);
}
