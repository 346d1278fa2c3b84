// Copies between layouts and between element types.
#pragma once

#include "gradus/kernels/bf16.h"
#include "gradus/kernels/kernel.h"

namespace gradus {

// y[i, j, ...] = x[i, j, ...] for any strides; U is uint8_t, uint16_t, uint32_t or uint64_t, the
// bits of an element. x and y must not overlap, and no two elements of y may coincide.
GRADUS_KERNEL(template <class U>
              void copy_strided(const Extents&, const Strided<const U>& x, const Strided<U>& y))

// y[i] = value for i < n; U as above.
GRADUS_KERNEL(template <class U> void fill(U value, std::int64_t n, U* y))

// y[i] = To(x[i]) for i < n, among float, double, bf16, int32_t, int64_t, uint8_t and bool.
// - To a narrower floating type, and from integers: rounded to nearest, ties to even; once, also
//   double and int64_t to bf16. Overflow gives infinity.
// - To an integer from a floating type: truncated toward zero; beyond the range the nearest end of
// it;
//   NaN gives 0.
// - Between integers: modulo 2^bits.
// - To bool: x != 0, so NaN is true. From bool: 0 or 1.
GRADUS_KERNEL(template <class From, class To> void convert(const From* x, std::int64_t n, To* y))

}  // namespace gradus
