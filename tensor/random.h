// Random numbers: Philox keyed by (seed, stream, element index). The same seed gives the same
// numbers for any number of threads.
#pragma once

#include "gradus/tensor/tensor.h"

namespace gradus {

// A position in a stream of random numbers; each draw of n elements moves it on by n, or n + 1
// where n is odd (normals and uniforms alike). To save one is to save its three numbers. One
// generator belongs to one thread.
class GRADUS_API Generator {
 public:
  explicit Generator(std::uint64_t seed = 0, std::uint64_t stream = 0)
      : seed_(seed), stream_(stream) {}
  std::uint64_t seed() const noexcept { return seed_; }
  std::uint64_t stream() const noexcept { return stream_; }
  std::uint64_t offset() const noexcept { return offset_; }
  void set_offset(std::uint64_t offset) noexcept { offset_ = offset; }
  // The offset before a draw of `count` elements, which it moves past.
  std::uint64_t advance(std::uint64_t count);
  // An independent generator with the same seed and another stream.
  Generator fork(std::uint64_t stream) const { return Generator(seed_, stream); }

 private:
  std::uint64_t seed_, stream_, offset_ = 0;
};

// The devices draw the same numbers: normals to within 2 ULP, all others bit for bit.

// Uniform in [0, 1).
GRADUS_API Tensor rand(const Shape&, Generator&, DType = DType::f32, Device = Device::cpu);
// Standard normal.
GRADUS_API Tensor randn(const Shape&, Generator&, DType = DType::f32, Device = Device::cpu);
// i64, uniform in [low, high).
GRADUS_API Tensor randint(std::int64_t low, std::int64_t high, const Shape&, Generator&,
                          Device = Device::cpu);
// Boolean, true with probability p in [0, 1]; of a tensor, one p an element, on its device (where a
// p outside of [0, 1] is told by the next call that waits).
GRADUS_API Tensor bernoulli(double p, const Shape&, Generator&, Device = Device::cpu);
GRADUS_API Tensor bernoulli(const Tensor& p, Generator&);
// i64, of 0 .. n-1.
GRADUS_API Tensor permutation(std::int64_t n, Generator&, Device = Device::cpu);

}  // namespace gradus
