// A strided window on raw memory: all that a kernel knows of a tensor.
#pragma once

#include <cstdint>

namespace gradus {

inline constexpr int max_rank = 8;

// Sizes of a loop nest, outermost first.
struct Extents {
  int rank = 0;
  std::int64_t size[max_rank] = {};

  std::int64_t count() const {
    std::int64_t n = 1;
    for (int i = 0; i < rank; ++i) n *= size[i];
    return n;
  }
};

// Element (i, j, ...) lies at data[i * stride[0] + j * stride[1] + ...]; strides count elements and
// may be 0 (broadcast) or negative (flipped). The extents belong to the loop, not to the view.
template <class T>
struct Strided {
  T* data = nullptr;
  std::int64_t stride[max_rank] = {};
};

}  // namespace gradus
