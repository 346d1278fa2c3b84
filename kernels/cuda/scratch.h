// Memory that a launcher's kernels need between them; given back, in the stream's order, when the
// launcher returns.
#pragma once

#include "gradus/kernels/cuda/runtime.h"
#include "gradus/kernels/cuda/gpu.h"

namespace gradus::GRADUS_GPU {

class Scratch {
 public:
  explicit Scratch(std::int64_t bytes)
      : bytes_(bytes), block_(bytes > 0 ? allocate(bytes) : nullptr) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    if (block_) deallocate(block_, bytes_);
  }

  template <class T>
  T* as() const {
    return static_cast<T*>(block_);
  }

 private:
  std::int64_t bytes_;
  void* block_;
};

}  // namespace gradus::GRADUS_GPU
