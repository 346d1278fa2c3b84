#include "gradus/tensor/shape.h"

#include <algorithm>
#include <ostream>

namespace gradus {

Shape::Shape(std::span<const std::int64_t> sizes) {
  require(sizes.size() <= max_rank, "shape: at most ", max_rank, " axes, got ", sizes.size());
  rank_ = static_cast<int>(sizes.size());
  std::copy(sizes.begin(), sizes.end(), sizes_);
}

void Shape::push_back(std::int64_t size) { insert(rank_, size); }

void Shape::erase(int axis) noexcept {
  std::copy(sizes_ + axis + 1, sizes_ + rank_, sizes_ + axis);
  --rank_;
}

void Shape::insert(int axis, std::int64_t size) {
  require(rank_ < max_rank, "shape: at most ", max_rank, " axes");
  std::copy_backward(sizes_ + axis, sizes_ + rank_, sizes_ + rank_ + 1);
  sizes_[axis] = size;
  ++rank_;
}

std::ostream& operator<<(std::ostream& out, const Shape& s) {
  out << '(';
  for (int i = 0; i < s.size(); ++i) out << (i ? ", " : "") << s[i];
  return out << (s.size() == 1 ? ",)" : ")");
}

std::int64_t checked_numel(const char* operation, const Shape& shape, std::int64_t item) {
  constexpr std::int64_t limit = std::int64_t{1} << 62;
  std::int64_t nonzero = item;
  bool empty = false;
  for (std::int64_t size : shape) {
    require(size >= 0, operation, ": sizes must not be negative: ", shape);
    empty = empty || size == 0;
    if (size == 0) continue;
    const bool fits = !__builtin_mul_overflow(nonzero, size, &nonzero) && nonzero <= limit;
    require(fits, operation, ": too many elements: ", shape, " of ", item, " bytes each");
  }
  return empty ? 0 : shape.numel();
}

Shape contiguous_strides(const Shape& shape) {
  Shape strides = shape;
  set_contiguous(strides);
  return strides;
}

Shape broadcast_shapes(const char* operation, const Shape& a, const Shape& b) {
  if (a == b) return a;
  const Shape& longer = a.size() >= b.size() ? a : b;
  const Shape& shorter = a.size() >= b.size() ? b : a;
  Shape result = longer;
  for (int i = 0; i < shorter.size(); ++i) {
    std::int64_t& size = result[longer.size() - 1 - i];
    const std::int64_t other = shorter[shorter.size() - 1 - i];
    if (size == 1)
      size = other;
    else
      require(other == size || other == 1, operation, ": shapes do not broadcast: ", a, " and ", b);
  }
  return result;
}

void refuse_axis(const char* operation, std::int64_t axis, int rank) {
  fail(operation, ": axis ", axis, " is out of range for rank ", rank);
}

}  // namespace gradus
