// Models are plain structs. A static member lists the fields:
//
//   struct Block {
//     nn::Linear inner, outer;
//     std::vector<nn::Linear> heads;
//     static void each(auto& self, auto&& f) {
//       f("inner", self.inner); f("outer", self.outer); f("heads", self.heads);
//     }
//   };
//
// A field is a Tensor, a model, or a std::vector or std::optional of those. Its tensors are named
// by the path to them, "heads.1.weight"; tensors without a value (a bias that is left out) do not
// exist. A tensor that stands in two fields is one tensor, under the name of the first.
//
// Copying a model copies handles: both have the same weights. clone() is the copy that does not.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "gradus/tensor/safetensors.h"
#include "gradus/tensor/tensor.h"

namespace gradus::nn {

// Whether a layer acts as in training (dropout drops, statistics are those of the batch) or as in
// use.
enum class Mode { train, eval };

namespace detail {

struct AnyField {
  void operator()(const char*, auto&) const {}
};
template <class T>
concept Listed = requires(T& t, const AnyField& f) {
  T::each(t, f);
};

template <class T>
inline constexpr bool is_vector = false;
template <class T>
inline constexpr bool is_vector<std::vector<T>> = true;
template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;

inline std::string join(const std::string& path, const std::string& name) {
  return path.empty() ? name : path + '.' + name;
}

// Calls f(name, tensor) for every tensor with a value below the field.
template <class Field, class F>
void visit(Field& field, const std::string& path, F& f) {
  using T = std::remove_const_t<Field>;
  if constexpr (std::is_same_v<T, Tensor>) {
    if (field.defined()) f(path, field);
  } else if constexpr (is_vector<T>) {
    for (std::size_t i = 0; i < field.size(); ++i)
      visit(field[i], join(path, std::to_string(i)), f);
  } else if constexpr (is_optional<T>) {
    if (field) visit(*field, path, f);
  } else {
    static_assert(Listed<T>,
                  "a field of a model is a Tensor, a struct with each(self, f), or a "
                  "std::vector or std::optional of those");
    T::each(field, [&](const char* name, auto& inner) { visit(inner, join(path, name), f); });
  }
}

// The first name of each tensor only.
GRADUS_API void drop_repeated(NamedTensors& tensors);
GRADUS_API std::vector<Tensor> trainable(const NamedTensors& tensors);
GRADUS_API std::int64_t count(const NamedTensors& tensors);
GRADUS_API std::vector<Tensor> copies(const NamedTensors& tensors);
GRADUS_API void move_to(const NamedTensors& tensors, DType dtype, Here here);
GRADUS_API void move_to(const NamedTensors& tensors, Device device, Here here);
GRADUS_API void load(const NamedTensors& model, const NamedTensors& source, Here here);
GRADUS_API void load(const NamedTensors& model, const std::string& path,
                     std::map<std::string, std::string>* metadata, Here here);
// The rule of load() for any list of tensors: "operation: source does not fit target: ...".
void assign(const char* operation, const char* target, const NamedTensors& tensors,
            const std::string& source, const NamedTensors& values, Here here);

}  // namespace detail

// All tensors of the model, parameters and others, in the order of its fields.
template <class Model>
NamedTensors named_tensors(const Model& model) {
  NamedTensors tensors;
  auto add = [&](const std::string& name, const Tensor& t) { tensors.emplace_back(name, t); };
  detail::visit(model, {}, add);
  detail::drop_repeated(tensors);
  return tensors;
}

// Those that require a gradient, in the same order.
template <class Model>
std::vector<Tensor> parameters(const Model& model) {
  return detail::trainable(named_tensors(model));
}

// Elements of all parameters.
template <class Model>
std::int64_t parameter_count(const Model& model) {
  return detail::count(named_tensors(model));
}

// A model with tensors of its own of the same values. What was one tensor in two fields stays one.
template <class Model>
Model clone(const Model& model) {
  const NamedTensors tensors = named_tensors(model);
  const std::vector<Tensor> values = detail::copies(tensors);
  Model copy = model;
  auto replace = [&](const std::string&, Tensor& t) {
    std::size_t i = 0;
    while (tensors[i].second.handle() != t.handle()) ++i;
    t = values[i];
  };
  detail::visit(copy, {}, replace);
  return copy;
}

// The next two change the tensors behind the handles: an optimiser, or a copy of the model, that
// holds them goes on with the new ones. Gradients of what was computed before are lost.

// Floating tensors become tensors of `dtype`, which is a floating one.
template <class Model>
void to(const Model& model, DType dtype, Here here = Here::now()) {
  detail::move_to(named_tensors(model), dtype, here);
}
template <class Model>
void to(const Model& model, Device device, Here here = Here::now()) {
  detail::move_to(named_tensors(model), device, here);
}

// Writes the values of `source` into the model's tensors of the same names. Names, shapes and
// dtypes must be exactly the model's; otherwise the error lists all that is missing, unexpected or
// of another shape or dtype, and the model is as it was.
template <class Model>
void load(const Model& model, const NamedTensors& source, Here here = Here::now()) {
  detail::load(named_tensors(model), source, here);
}
// The same from a safetensors file; `metadata`, if given, is replaced by the file's.
template <class Model>
void load(const Model& model, const std::string& path,
          std::map<std::string, std::string>* metadata = nullptr, Here here = Here::now()) {
  detail::load(named_tensors(model), path, metadata, here);
}

// A safetensors file of named_tensors(model), written atomically.
template <class Model>
void save(const Model& model, const std::string& path,
          const std::map<std::string, std::string>& metadata = {}) {
  save_safetensors(path, named_tensors(model), metadata);
}

}  // namespace gradus::nn
