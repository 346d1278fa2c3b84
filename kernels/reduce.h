// Reductions over any axes. Sums are lane-wise in leaves of fixed size that are combined pairwise;
// tiles follow from the sizes alone, so the bits do not depend on the number of threads.
#pragma once

#include "gradus/kernels/bf16.h"
#include "gradus/kernels/kernel.h"

namespace gradus {

// An input's loop nest in two parts: the loops that number the outputs (the last one fastest) and
// those that are reduced. Strides are the input's, in elements.
struct ReduceShape {
  Extents kept;
  Extents reduced;
  std::int64_t kept_stride[max_rank] = {};
  std::int64_t reduced_stride[max_rank] = {};
};

// Splits a nest: axis i is reduced where bit i of `axes` is set. Loops of size 1 are dropped and
// neighbours that one stride can walk are merged; their order stays.
ReduceShape reduce_shape(const Extents& extents, const std::int64_t* stride, unsigned axes);

// The same nest with the reduced loops of the largest strides outermost, then merged: sums care
// little for the order of their terms, memory does.
GRADUS_API ReduceShape in_memory_order(const ReduceShape&);

// y has one element for each output, contiguous. x and y must not overlap. Nothing is reduced: sum
// and logsumexp take their empty values 0 and -inf, prod 1; max, min and argmax require an element.
// T is float or double, and but for prod and argmax bf16, computed in float and rounded once.
// Y is T, or float where T is bf16.
GRADUS_KERNEL(template <class T, class Y> void sum(const T* x, const ReduceShape&, Y* y))
GRADUS_KERNEL(template <class T> void prod(const T* x, const ReduceShape&, T* y))

// A NaN among the elements is the result.
GRADUS_KERNEL(template <class T> void max(const T* x, const ReduceShape&, T* y))
GRADUS_KERNEL(template <class T> void min(const T* x, const ReduceShape&, T* y))
// How many elements are the maximum or the minimum: 0 where a NaN is. T is float or double.
GRADUS_KERNEL(template <class T> void count_max(const T* x, const ReduceShape&, T* y))
GRADUS_KERNEL(template <class T> void count_min(const T* x, const ReduceShape&, T* y))

// Position of the maximum in the flattened reduced loops: the first one of equals; a NaN counts as
// the maximum.
GRADUS_KERNEL(template <class T> void argmax(const T* x, const ReduceShape&, std::int64_t* y))

// sum (x - mean)^2 / (K - correction) in two passes, K the number of reduced elements; NaN for an
// empty reduction, and +inf or NaN where K <= correction. The means are written too.
GRADUS_KERNEL(template <class T>
              void variance(const T* x, const ReduceShape&, double correction, T* mean, T* y))

// log sum exp x, shifted by the maximum: -inf where every x is -inf, +inf where one is.
GRADUS_KERNEL(template <class T> void logsumexp(const T* x, const ReduceShape&, T* y))

// Sums of int32_t, int64_t, uint8_t (modulo 2^64) and bool (the number of true ones).
GRADUS_KERNEL(template <class T> void sum_integers(const T* x, const ReduceShape&, std::int64_t* y))
// Nothing reduced: any is false, all is true.
GRADUS_KERNEL(void any(const bool* x, const ReduceShape&, bool* y))
GRADUS_KERNEL(void all(const bool* x, const ReduceShape&, bool* y))

// y[o][j][i] = x[o][0][i] + ... + x[o][j][i], for contiguous (outer, n, inner); y may be x. T is
// float or double, summed in double, int32_t or int64_t, modulo 2^bits.
GRADUS_KERNEL(template <class T>
              void cumsum(const T* x, std::int64_t outer, std::int64_t n, std::int64_t inner, T* y))

}  // namespace gradus
