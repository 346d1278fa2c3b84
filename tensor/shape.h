// Shapes, with arithmetic that is checked: a size that does not fit is an error, never a wrap.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <span>

#include "gradus/kernels/view.h"
#include "gradus/tensor/error.h"

namespace gradus {

// Up to max_rank sizes (or strides), held inline.
class GRADUS_API Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<std::int64_t> sizes)
      : Shape(std::span(sizes.begin(), sizes.size())) {}
  explicit Shape(std::span<const std::int64_t> sizes);
  // Copies what is there: most shapes have one to four axes, and a whole copy would wait for the
  // stores that have just made them.
  Shape(const Shape& other) noexcept { *this = other; }
  Shape& operator=(const Shape& other) noexcept {
    rank_ = other.rank_;
    for (int i = 0; i < rank_; ++i) sizes_[i] = other.sizes_[i];
    return *this;
  }

  int size() const noexcept { return rank_; }
  bool empty() const noexcept { return rank_ == 0; }
  std::int64_t operator[](int i) const noexcept { return sizes_[i]; }
  std::int64_t& operator[](int i) noexcept { return sizes_[i]; }
  std::int64_t back() const noexcept { return sizes_[rank_ - 1]; }
  const std::int64_t* begin() const noexcept { return sizes_; }
  const std::int64_t* end() const noexcept { return sizes_ + rank_; }
  void push_back(std::int64_t size);
  void erase(int axis) noexcept;
  void insert(int axis, std::int64_t size);
  // Product of the sizes; they were checked when a tensor was made of them.
  std::int64_t numel() const noexcept {
    std::int64_t n = 1;
    for (int i = 0; i < rank_; ++i) n *= sizes_[i];
    return n;
  }
  friend bool operator==(const Shape& a, const Shape& b) noexcept {
    if (a.rank_ != b.rank_) return false;
    for (int i = 0; i < a.rank_; ++i)
      if (a.sizes_[i] != b.sizes_[i]) return false;
    return true;
  }

 private:
  std::int64_t sizes_[max_rank];
  int rank_ = 0;
};

GRADUS_API std::ostream& operator<<(std::ostream&, const Shape&);  // (2, 3), (5,), ()

// Number of elements. Negative sizes are errors, and so is a product of the sizes above 2^62 bytes
// of `item` bytes each, zeros left out of the product: an empty tensor's strides must fit as well.
GRADUS_API std::int64_t checked_numel(const char* operation, const Shape&, std::int64_t item = 1);

// Row-major strides, in elements.
GRADUS_API Shape contiguous_strides(const Shape&);
// The same, in place of the sizes.
inline void set_contiguous(Shape& sizes) noexcept {
  std::int64_t step = 1;
  for (int i = sizes.size(); i-- > 0;) {
    const std::int64_t next = sizes[i] ? step * sizes[i] : step;
    sizes[i] = step;
    step = next;
  }
}

// NumPy's rule. Throws when sizes differ and neither is 1.
GRADUS_API Shape broadcast_shapes(const char* operation, const Shape&, const Shape&);

// An axis in [-rank, rank) as one in [0, rank).
[[noreturn]] GRADUS_API void refuse_axis(const char* operation, std::int64_t axis, int rank);
inline int checked_axis(const char* operation, std::int64_t axis, int rank) {
  if (axis < -rank || axis >= rank) [[unlikely]]
    refuse_axis(operation, axis, rank);
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

}  // namespace gradus
