// Small objects that every operation makes and drops: handles and nodes.
#pragma once

#include <cstddef>

#include "gradus/kernels/export.h"

namespace gradus {

// Gives a class memory from lists of the thread: malloc keeps only a few blocks of a size at hand,
// and a graph of a thousand nodes would cost as many of its slow calls.
class GRADUS_API SmallObject {
 public:
  static void* operator new(std::size_t bytes);
  static void operator delete(void* p, std::size_t bytes) noexcept;
};

}  // namespace gradus
