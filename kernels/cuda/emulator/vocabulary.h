// Types that CUDA declares in every program, for compilers that are not nvcc; and what the emulator
// says things with: a place in a source file, an error.
//
// They live in gradus::emulator and are lent to the global namespace, so that a program may hold
// them beside NVIDIA's: their mangled names differ.
#pragma once

#include "gradus/kernels/error.h"

namespace gradus::emulator {

// A program on the device that breaks a rule; the text is the whole report.
class Error : public gradus::Error {
 public:
  using gradus::Error::Error;
};

// Who calls, as a default argument.
struct Loc {
  const char* file = "";
  unsigned line = 0;

  static constexpr Loc current(const char* file = __builtin_FILE(),
                               unsigned line = __builtin_LINE()) {
    return {file, line};
  }
};

// ---- vectors, aligned as on the device: a load of a float4 there is one of 16 bytes.
struct int2 {
  alignas(8) int x;
  int y;
};
struct int3 {
  int x, y, z;
};
struct int4 {
  alignas(16) int x;
  int y, z, w;
};
struct uint2 {
  alignas(8) unsigned x;
  unsigned y;
};
struct uint3 {
  unsigned x, y, z;
};
struct uint4 {
  alignas(16) unsigned x;
  unsigned y, z, w;
};
struct float2 {
  alignas(8) float x;
  float y;
};
struct float3 {
  float x, y, z;
};
struct float4 {
  alignas(16) float x;
  float y, z, w;
};
struct double2 {
  alignas(16) double x;
  double y;
};
struct longlong2 {
  alignas(16) long long x;
  long long y;
};
struct ulonglong2 {
  alignas(16) unsigned long long x;
  unsigned long long y;
};

// The size of a grid or of a block.
struct dim3 {
  unsigned x, y, z;

  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
  constexpr dim3(uint3 size) : x(size.x), y(size.y), z(size.z) {}
  constexpr operator uint3() const { return {x, y, z}; }
};

constexpr int2 make_int2(int x, int y) { return {x, y}; }
constexpr int3 make_int3(int x, int y, int z) { return {x, y, z}; }
constexpr int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
constexpr uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
constexpr uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }
constexpr uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
constexpr float2 make_float2(float x, float y) { return {x, y}; }
constexpr float3 make_float3(float x, float y, float z) { return {x, y, z}; }
constexpr float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
constexpr double2 make_double2(double x, double y) { return {x, y}; }
constexpr longlong2 make_longlong2(long long x, long long y) { return {x, y}; }
constexpr ulonglong2 make_ulonglong2(unsigned long long x, unsigned long long y) { return {x, y}; }

}  // namespace gradus::emulator

using gradus::emulator::dim3;
using gradus::emulator::double2;
using gradus::emulator::float2;
using gradus::emulator::float3;
using gradus::emulator::float4;
using gradus::emulator::int2;
using gradus::emulator::int3;
using gradus::emulator::int4;
using gradus::emulator::longlong2;
using gradus::emulator::make_double2;
using gradus::emulator::make_float2;
using gradus::emulator::make_float3;
using gradus::emulator::make_float4;
using gradus::emulator::make_int2;
using gradus::emulator::make_int3;
using gradus::emulator::make_int4;
using gradus::emulator::make_longlong2;
using gradus::emulator::make_uint2;
using gradus::emulator::make_uint3;
using gradus::emulator::make_uint4;
using gradus::emulator::make_ulonglong2;
using gradus::emulator::uint2;
using gradus::emulator::uint3;
using gradus::emulator::uint4;
using gradus::emulator::ulonglong2;
