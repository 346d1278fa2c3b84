// Softmax and its kin over the rows of contiguous (rows, n) arrays, shifted by each row's maximum.
// Outputs may be the same memory as an input of their shape. A row of -inf alone, or with a +inf,
// gives NaN in softmax and log_softmax (0/0), as in NumPy and PyTorch.
#pragma once

#include "gradus/kernels/bf16.h"
#include "gradus/kernels/kernel.h"

namespace gradus {

GRADUS_KERNEL(template <class T> void softmax(const T* x, std::int64_t rows, std::int64_t n, T* y))
GRADUS_KERNEL(template <class T>
              void log_softmax(const T* x, std::int64_t rows, std::int64_t n, T* y))

// dx = y * (g - sum(g * y)), y = softmax(x).
GRADUS_KERNEL(template <class T>
              void softmax_vjp(const T* y, const T* g, std::int64_t rows, std::int64_t n, T* dx))
// dx = g - exp(y) * sum(g), y = log_softmax(x).
GRADUS_KERNEL(template <class T> void log_softmax_vjp(const T* y, const T* g, std::int64_t rows,
                                                      std::int64_t n, T* dx))

// loss[r] = logsumexp(x[r]) - x[r][target[r]], and logsumexp(x[r]), which the vjp needs, in lse[r].
// Targets lie in [0, n): checked by the caller (find_out_of_range in index.h). Devices may meet
// others all the same: their loss is NaN, and the vjp takes no target to be hit.
GRADUS_KERNEL(template <class T> void cross_entropy(const T* x, const std::int64_t* target,
                                                    std::int64_t rows, std::int64_t n,
                                                    computed<T>* loss, computed<T>* lse))
// dx[r] = (exp(x[r] - lse[r]) - onehot(target[r])) * g[r * g_stride]; g_stride is 1, or 0 where one
// number serves all rows.
GRADUS_KERNEL(template <class T> void cross_entropy_vjp(const T* x, const std::int64_t* target,
                                                        const computed<T>* lse,
                                                        const computed<T>* g, std::int64_t g_stride,
                                                        std::int64_t rows, std::int64_t n, T* dx))

}  // namespace gradus
