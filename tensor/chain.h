// Free blocks of one size, chained through their first word: keeping one needs no memory.
#pragma once

#include <cstddef>
#include <utility>

namespace gradus::detail {

struct Chain {
  void* first = nullptr;
  std::size_t count = 0;

  void* take() noexcept {  // null where there is none
    void* p = first;
    if (p) first = *static_cast<void**>(p), --count;
    return p;
  }
  void put(void* p) noexcept {
    *static_cast<void**>(p) = std::exchange(first, p);
    ++count;
  }
};

}  // namespace gradus::detail
