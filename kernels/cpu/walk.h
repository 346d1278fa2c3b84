// The positions of a loop nest, one after the other, with the offset that its strides give each.
#pragma once

#include <algorithm>

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

// The elements of a nest in order, from position `begin` on, in portions of contiguous memory.
template <class T>
class Elements {
 public:
  Elements(const T* x, const Extents& e, const std::int64_t* stride, std::int64_t begin)
      : x_(x),
        inner_(e.rank > 0 ? e.size[e.rank - 1] : 1),
        step_(e.rank > 0 ? stride[e.rank - 1] : 1),
        at_(begin > 0 ? begin % inner_ : 0),  // short nests would notice the division
        walk_(e.size, stride, e.rank - 1, begin > 0 ? begin / inner_ : 0) {}

  // How many of the next n lie side by side, and where: no copy is needed.
  const T* here() const { return x_ + walk_.offset() + at_ * step_; }
  std::int64_t run(std::int64_t n) const { return step_ == 1 ? std::min(n, inner_ - at_) : 0; }
  void skip(std::int64_t n) {
    at_ += n;
    if (at_ == inner_) at_ = 0, walk_.next();
  }

  __attribute__((noinline)) void copy(std::int64_t n, T* to) {
    while (n > 0) {
      const std::int64_t m = std::min(n, inner_ - at_);
      const T* p = here();
      if (step_ == 1)
        std::copy_n(p, m, to);
      else
        for (std::int64_t i = 0; i < m; ++i) to[i] = p[i * step_];
      skip(m);
      n -= m, to += m;
    }
  }

 private:
  const T* x_;
  std::int64_t inner_, step_, at_;
  Walk walk_;
};

}  // namespace gradus::cpu
