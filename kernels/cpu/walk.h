// The positions of a loop nest, one after the other, with the offset that its strides give each.
#pragma once

#include <algorithm>
#include <type_traits>

#include "gradus/kernels/copy.h"
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

// Numbers in memory: as they are computed, or in bf16, and then they are converted in portions.
template <class T>
struct Stored {
  const T* plain = nullptr;
  const bf16* half = nullptr;

  explicit Stored(const T* x) : plain(x) {}
  explicit Stored(const bf16* x) : half(x) {}
  Stored operator+(std::int64_t i) const { return half ? Stored(half + i) : Stored(plain + i); }
};

// The elements of a nest in order, from position `begin` on, in portions of contiguous memory.
template <class T>
class Elements {
 public:
  Elements(Stored<T> x, const Extents& e, const std::int64_t* stride, std::int64_t begin)
      : x_(x),
        inner_(e.rank > 0 ? e.size[e.rank - 1] : 1),
        step_(e.rank > 0 ? stride[e.rank - 1] : 1),
        at_(begin > 0 ? begin % inner_ : 0),  // short nests would notice the division
        walk_(e.size, stride, e.rank - 1, begin > 0 ? begin / inner_ : 0) {}

  // How many of the next n lie side by side, and where: unless they are in bf16, no copy is needed.
  const T* here() const { return x_.plain + offset(); }
  std::int64_t run(std::int64_t n) const { return step_ == 1 ? std::min(n, inner_ - at_) : 0; }
  void skip(std::int64_t n) {
    at_ += n;
    if (at_ == inner_) at_ = 0, walk_.next();
  }

  __attribute__((noinline)) void copy(std::int64_t n, T* to) {
    while (n > 0) {
      const std::int64_t m = std::min(n, inner_ - at_);
      if (x_.half)
        widen(x_.half + offset(), m, to);
      else if (step_ == 1)
        std::copy_n(here(), m, to);
      else
        for (std::int64_t i = 0; i < m; ++i) to[i] = here()[i * step_];
      skip(m);
      n -= m, to += m;
    }
  }

 private:
  std::int64_t offset() const { return walk_.offset() + at_ * step_; }
  void widen(const bf16* x, std::int64_t n, T* to) const {
    if constexpr (std::is_same_v<T, float>) {
      if (step_ == 1) return convert(x, n, to);
      for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<float>(x[i * step_]);
    }
  }

  Stored<T> x_;
  std::int64_t inner_, step_, at_;
  Walk walk_;
};

}  // namespace gradus::cpu
