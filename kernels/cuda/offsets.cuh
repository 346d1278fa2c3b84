// Where the element at a position of one operand's loops lies. Unlike Nest (nest.cuh) for any
// number of elements without a division, which in 64 bits is a call and costs its caller's
// registers.
#pragma once

#include "gradus/kernels/cuda/gpu.h"
#include "gradus/kernels/view.h"

namespace gradus::GRADUS_GPU {

// floor(n / d) for 0 <= n < 2^63 by Granlund and Montgomery's multiplication (1994):
// (floor(n m / 2^64) + n) >> s with 2^s >= d and m = floor(2^64 (2^s - d) / d) + 1.
class Quotient {
 public:
  Quotient() = default;
  explicit Quotient(std::int64_t d) : divisor_(d) {
    if (d == 0) return;  // of a loop that is empty
    while (std::int64_t{1} << shift_ < d) ++shift_;
    const auto rest = static_cast<std::uint64_t>((std::int64_t{1} << shift_) - d);
    factor_ =
        static_cast<std::uint64_t>((static_cast<Wide>(rest) << 64) / static_cast<Wide>(d)) + 1;
  }
  GRADUS_DEVICE std::int64_t operator()(std::int64_t n) const {
    const auto high = static_cast<std::uint64_t>(static_cast<Wide>(n) * factor_ >> 64);
    return static_cast<std::int64_t>((high + static_cast<std::uint64_t>(n)) >> shift_);
  }
  GRADUS_DEVICE std::int64_t divisor() const { return divisor_; }

 private:
  using Wide = unsigned __int128;
  std::int64_t divisor_ = 1;
  std::uint64_t factor_ = 1;
  int shift_ = 0;
};

class Offsets {
 public:
  // Of the first `loops` loops.
  Offsets(const Extents& e, const std::int64_t* stride, int loops) : rank_(loops) {
    for (int i = 0; i < loops; ++i) size_[i] = Quotient(e.size[i]), stride_[i] = stride[i];
  }
  GRADUS_DEVICE std::int64_t operator()(std::int64_t position) const {
    if (rank_ == 0) return 0;
    std::int64_t offset = 0;
    for (int i = rank_ - 1; i > 0; --i) {
      const std::int64_t left = size_[i](position);
      offset += (position - left * size_[i].divisor()) * stride_[i];
      position = left;
    }
    return offset + position * stride_[0];
  }

 private:
  int rank_;
  Quotient size_[max_rank];
  std::int64_t stride_[max_rank] = {};
};

}  // namespace gradus::GRADUS_GPU
