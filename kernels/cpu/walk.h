// The positions of a loop nest, one after the other, with the offset that its strides give each.
#pragma once

#include "gradus/kernels/view.h"

namespace gradus::cpu {

class Walk {
 public:
  // The first `rank` loops of a nest, from flattened position `begin` on.
  Walk(const std::int64_t* size, const std::int64_t* stride, int rank, std::int64_t begin = 0)
      : size_(size), stride_(stride), rank_(rank) {
    for (int i = rank - 1; i >= 0 && begin > 0; --i) {
      at_[i] = begin % size[i];
      begin /= size[i];
      offset_ += at_[i] * stride[i];
    }
  }

  std::int64_t offset() const { return offset_; }

  // After the last position comes the first.
  void next() {
    for (int i = rank_ - 1; i >= 0; --i) {
      offset_ += stride_[i];
      if (++at_[i] < size_[i]) return;
      offset_ -= at_[i] * stride_[i];
      at_[i] = 0;
    }
  }

 private:
  const std::int64_t* size_;
  const std::int64_t* stride_;
  int rank_;
  std::int64_t offset_ = 0;
  std::int64_t at_[max_rank] = {};
};

}  // namespace gradus::cpu
