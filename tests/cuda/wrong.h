// Kernels with one mistake each, for emulator_reports_test.cpp to see it named. Only the emulator
// runs them: a GPU would hang, or give any numbers.
#pragma once

#include <cstddef>

namespace gradus::emulated {

struct WrongKernel {
  void (*kernel)(int* data, int n);
  unsigned blocks = 1, threads = 64;
  std::size_t shared = 0;
};

// By the name of the kernel in wrong.cu; throws std::out_of_range for others.
const WrongKernel& wrong(const char* name);

}  // namespace gradus::emulated
