// Matrix products.
#pragma once

#include "gradus/kernels/bf16.h"
#include "gradus/kernels/kernel.h"

namespace gradus {

// C = alpha * op(A) * op(B) + beta * C, one product for each position of the batch loops.
// op(A) is (m, k), op(B) is (k, n), C is (m, n), all row-major: rows lie `ld` elements apart, and a
// transposed operand is stored as (k, m) or (n, k). Batch strides count elements; those of A and B
// may be 0 (one matrix for all). A matrix of more than one row has ld < 2^31.
struct GemmShape {
  std::int64_t m = 0, n = 0, k = 0;
  std::int64_t lda = 0, ldb = 0, ldc = 0;
  bool transpose_a = false, transpose_b = false;
  Extents batch;
  std::int64_t stride_a[max_rank] = {}, stride_b[max_rank] = {}, stride_c[max_rank] = {};
};

// beta = 0 overwrites C, whatever it held; k = 0 leaves beta * C. C must not overlap A or B. An
// element's bits depend on its row, its column and k alone where m and n are above 3: neither the
// batch it sits in nor the number of threads changes them. There, a CPU with fused multiply-adds
// and every device give f32 and f64 the same bits. bf16 is summed in f32 and rounded once. Scratch:
// gemm_scratch<T>(shape) bytes, aligned to 64; it may be none.
GRADUS_KERNEL(template <class T> std::int64_t gemm_scratch(const GemmShape&))
GRADUS_KERNEL(template <class T> void gemm(const GemmShape&, double alpha, const T* a, const T* b,
                                           double beta, T* c, void* scratch))

// What becomes of an element before it is rounded and stored: activation(x + bias[column]), on the
// CPU with the bits of a sum and an activation of their own.
enum class Activation { none, relu, gelu, gelu_tanh, gelu_sigmoid };
template <class C>
struct Epilogue {
  const C* bias = nullptr;  // n numbers, or none
  Activation activation = Activation::none;
};

// gemm with an epilogue. C is T, or float where T is bf16: sums of bf16 are f32.
GRADUS_KERNEL(template <class T, class C>
              void gemm_epilogue(const GemmShape&, double alpha, const T* a, const T* b,
                                 double beta, C* c, const Epilogue<C>&, void* scratch))

}  // namespace gradus
