// Element types and the step from a run-time dtype to a compile-time one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <type_traits>

#include "gradus/kernels/bf16.h"
#include "gradus/tensor/error.h"

namespace gradus {

enum class DType : std::uint8_t { f32, f64, bf16, i32, i64, u8, boolean };
inline constexpr DType f32 = DType::f32;
inline constexpr DType f64 = DType::f64;
inline constexpr DType i32 = DType::i32;
inline constexpr DType i64 = DType::i64;
inline constexpr DType u8 = DType::u8;
inline constexpr DType boolean = DType::boolean;  // DType::bf16 has no short name: bf16 is the type

GRADUS_API const char* name(DType) noexcept;
GRADUS_API std::ostream& operator<<(std::ostream&, DType);
namespace detail {
inline constexpr std::int8_t item_sizes[] = {4, 8, 2, 4, 8, 1, 1};
}
constexpr std::int64_t item_size(DType t) noexcept {
  return detail::item_sizes[static_cast<int>(t)];
}
// f32, f64 and bf16.
constexpr bool is_floating(DType t) noexcept { return t <= DType::bf16; }

template <class T>
inline constexpr bool is_element = false;
template <class T>
inline constexpr DType dtype_of = DType::f32;
#define GRADUS_ELEMENT(type, value)              \
  template <>                                    \
  inline constexpr bool is_element<type> = true; \
  template <>                                    \
  inline constexpr DType dtype_of<type> = DType::value;
GRADUS_ELEMENT(float, f32)
GRADUS_ELEMENT(double, f64)
GRADUS_ELEMENT(gradus::bf16, bf16)
GRADUS_ELEMENT(std::int32_t, i32)
GRADUS_ELEMENT(std::int64_t, i64)
GRADUS_ELEMENT(std::uint8_t, u8)
GRADUS_ELEMENT(bool, boolean)
#undef GRADUS_ELEMENT

// Calls f(T{}) with T the element type; for any dtype.
template <class F>
decltype(auto) with_any(DType t, F&& f) {
  switch (t) {
    case DType::f32:
      return f(float{});
    case DType::f64:
      return f(double{});
    case DType::bf16:
      return f(gradus::bf16{});
    case DType::i32:
      return f(std::int32_t{});
    case DType::i64:
      return f(std::int64_t{});
    case DType::u8:
      return f(std::uint8_t{});
    case DType::boolean:
      break;
  }
  return f(bool{});
}

// Calls f(T{}) with T float or double; any other dtype is an error of the operation.
template <class F>
decltype(auto) with_float(const char* operation, DType t, F&& f) {
  if (t == DType::f64) return f(double{});
  require(t == DType::f32, operation, ": takes f32 or f64, got ", name(t),
          t == DType::bf16 ? " (convert with .to(f32))" : "");
  return f(float{});
}

}  // namespace gradus
