"""The cases of ONNX's backend test suite that cannot be, by what is not supported. All others must pass."""

EXCLUDED = {
    "a constant that differs from sample to sample": """
        test_operator_add_size1_broadcast test_operator_params
    """,
    "a dilated mean": """
        test_averagepool_2d_dilations
    """,
    "a product with a constant that is no matrix, or along the batch": """
        test_matmul_1d_1d test_matmul_1d_3d test_matmul_4d test_matmul_bcast
    """,
    "empty values": """
        test_reduce_sum_empty_set test_reduce_sum_empty_set_non_reduced_axis_zero
        test_reshape_allowzero_reordered test_slice_start_out_of_bounds test_split_zero_size_splits_opset13
        test_split_zero_size_splits_opset18
    """,
    "padding with other than a constant": """
        test_ReflectionPad2d test_ReplicationPad2d test_operator_pad
    """,
    "peepholes": """
        test_lstm_with_peepholes
    """,
    "the batch axis is joined, cut, reduced or moved": """
        test_concat_1d_axis_0 test_concat_1d_axis_negative_1 test_concat_2d_axis_0
        test_concat_2d_axis_negative_2 test_concat_3d_axis_0 test_concat_3d_axis_negative_3 test_flatten_axis0
        test_flatten_axis2 test_flatten_axis3 test_flatten_negative_axis1 test_flatten_negative_axis2
        test_flatten_negative_axis4 test_gather_0 test_gather_negative_indices test_layer_normalization_2d_axis0
        test_layer_normalization_2d_axis_negative_2 test_layer_normalization_3d_axis0_epsilon
        test_layer_normalization_3d_axis_negative_3_epsilon test_layer_normalization_4d_axis0
        test_layer_normalization_4d_axis_negative_4 test_logsoftmax_axis_0 test_operator_chunk
        test_operator_index test_reduce_mean_default_axes_keepdims_example
        test_reduce_mean_default_axes_keepdims_random test_reduce_sum_default_axes_keepdims_example
        test_reduce_sum_default_axes_keepdims_random test_reshape_negative_extended_dims test_reshape_one_dim
        test_reshape_reordered_all_dims test_slice test_slice_default_axes test_slice_default_steps
        test_slice_neg_steps test_slice_negative_axes test_softmax_axis_0 test_split_1d_uneven_split_opset18
        test_split_equal_parts_1d_opset13 test_split_equal_parts_1d_opset18
        test_split_equal_parts_default_axis_opset13 test_split_equal_parts_default_axis_opset18
        test_split_variable_parts_1d_opset13 test_split_variable_parts_1d_opset18
        test_split_variable_parts_default_axis_opset13 test_split_variable_parts_default_axis_opset18
        test_squeeze
    """,
    "training mode": """
        test_batchnorm_epsilon_training_mode test_batchnorm_example_training_mode test_training_dropout
        test_training_dropout_default test_training_dropout_default_mask test_training_dropout_mask
        test_training_dropout_zero_ratio test_training_dropout_zero_ratio_mask
    """,
    "windows over three axes": """
        test_AvgPool3d test_AvgPool3d_stride test_AvgPool3d_stride1_pad0_gpu_input test_Conv3d
        test_Conv3d_dilated test_Conv3d_dilated_strided test_Conv3d_groups test_Conv3d_no_bias
        test_Conv3d_stride test_Conv3d_stride_padding test_MaxPool3d test_MaxPool3d_stride
        test_MaxPool3d_stride_padding test_averagepool_3d_default
        test_averagepool_3d_dilations_large_count_include_pad_is_0_ceil_mode_is_False
        test_averagepool_3d_dilations_large_count_include_pad_is_0_ceil_mode_is_True
        test_averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_False
        test_averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_True
        test_averagepool_3d_dilations_small test_maxpool_3d_default test_maxpool_3d_dilations
        test_maxpool_3d_dilations_use_ref_impl test_maxpool_3d_dilations_use_ref_impl_large
    """,
}

# Further outputs that no network has: masks, indices, cell states, means and deviations. The first one must be right.
FIRST_OUTPUT_ONLY = """
    test_dropout_default_mask test_dropout_default_mask_ratio test_layer_normalization_2d_axis1
    test_layer_normalization_2d_axis_negative_1 test_layer_normalization_3d_axis1_epsilon
    test_layer_normalization_3d_axis2_epsilon test_layer_normalization_3d_axis_negative_1_epsilon
    test_layer_normalization_3d_axis_negative_2_epsilon test_layer_normalization_4d_axis1
    test_layer_normalization_4d_axis2 test_layer_normalization_4d_axis3
    test_layer_normalization_4d_axis_negative_1 test_layer_normalization_4d_axis_negative_2
    test_layer_normalization_4d_axis_negative_3 test_layer_normalization_default_axis
    test_lstm_bidirectional test_lstm_reverse test_maxpool_with_argmax_2d_precomputed_pads
    test_maxpool_with_argmax_2d_precomputed_strides
"""

# Operators without a case of their own that could be.
WITHOUT_CASES = {"Cast": "every case changes the type", "Shape": "the results are integers"}
