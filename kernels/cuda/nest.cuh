// Where the elements of several strided operands lie: loop nests whose neighbouring loops are
// merged wherever all operands allow it, divided by multiplication where 31 bits count the
// elements.
#pragma once

#include <cstdint>

#include "gradus/kernels/cpu/isa.h"
#include "gradus/kernels/cuda/gpu.h"
#include "gradus/kernels/view.h"

#ifdef __CUDACC__
#define GRADUS_UNROLL_BY(n) GRADUS_PRAGMA(unroll n)
#else
#define GRADUS_UNROLL_BY(n)
#endif

namespace gradus::GRADUS_GPU {

using Index = std::int64_t;

// n / divisor for n < 2^31 and divisor <= 2^31, by a multiplication (Granlund and Montgomery,
// 1994).
class Divider {
 public:
  Divider() = default;
  explicit Divider(Index divisor) {
    while (Index{1} << shift_ < divisor) ++shift_;
    factor_ = static_cast<std::uint32_t>(
        (((std::uint64_t{1} << shift_) - static_cast<std::uint64_t>(divisor)) << 32) /
            static_cast<std::uint64_t>(divisor) +
        1);
  }
  GRADUS_INLINE std::uint32_t operator()(std::uint32_t n) const {
    return (static_cast<std::uint32_t>((std::uint64_t{n} * factor_) >> 32) + n) >> shift_;
  }

 private:
  std::uint32_t factor_ = 1, shift_ = 0;
};

// The loops over N operands, outermost first; at least one. Strides count elements.
template <int N>
struct Nest {
  int rank = 0;
  bool narrow = true;  // fewer than 2^31 elements, but some
  Index size[max_rank];
  Index stride[N][max_rank];
  Divider divide[max_rank];

  // The next loop inwards.
  void add(Index n, const Index (&strides)[N]) {
    if (n == 1) return;
    bool joins = rank > 0;
    for (int k = 0; k < N && joins; ++k) joins = stride[k][rank - 1] == strides[k] * n;
    if (!joins) size[rank++] = 1;
    size[rank - 1] *= n;
    for (int k = 0; k < N; ++k) stride[k][rank - 1] = strides[k];
  }
  void close() {
    if (rank == 0) {
      size[rank++] = 1;
      for (int k = 0; k < N; ++k) stride[k][0] = 0;
    }
    narrow = count() > 0 && count() < Index{1} << 31;
    for (int a = 0; a < rank && narrow; ++a) divide[a] = Divider(size[a]);
  }
  Index count() const {
    Index n = 1;
    for (int a = 0; a < rank; ++a) n *= size[a];
    return n;
  }
  Index row() const { return size[rank - 1]; }
  Index inner(int k) const { return stride[k][rank - 1]; }
  bool contiguous(int k) const { return (rank == 1 && inner(k) == 1) || count() == 1; }

  // Where element i of each operand is.
  GRADUS_DEVICE void locate(Index i, Index (&offset)[N]) const {
    GRADUS_UNROLL
    for (int k = 0; k < N; ++k) offset[k] = 0;
    if (narrow)
      locate(static_cast<std::uint32_t>(i), offset,
             [&](std::uint32_t n, int a) { return divide[a](n); });
    else
      locate(static_cast<std::uint64_t>(i), offset,
             [&](std::uint64_t n, int a) { return n / static_cast<std::uint64_t>(size[a]); });
  }

 private:
  template <class Count, class Divide>
  GRADUS_DEVICE void locate(Count i, Index (&offset)[N], Divide divide_by) const {
    GRADUS_UNROLL_BY(1)
    for (int a = rank - 1; a > 0; --a) {
      const Count left = divide_by(i, a);
      const Index at = static_cast<Index>(i - left * static_cast<Count>(size[a]));
      GRADUS_UNROLL
      for (int k = 0; k < N; ++k) offset[k] += at * stride[k][a];
      i = left;
    }
    GRADUS_UNROLL
    for (int k = 0; k < N; ++k) offset[k] += static_cast<Index>(i) * stride[k][0];
  }
};

inline bool aligned(const void* p, std::size_t bytes) {
  return reinterpret_cast<std::uintptr_t>(p) % bytes == 0;
}

}  // namespace gradus::GRADUS_GPU
