// The tensor: one type for values and for recorded values. A Tensor is a handle; copying it copies
// the handle. Operations make new tensors; views share memory. Members that compute are the
// functions of autograd/ops.h of the same name, and record like them.
//
// Threads: reading a tensor from several threads is safe; writing needs the user's own order.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gradus/tensor/dtype.h"
#include "gradus/tensor/shape.h"
#include "gradus/tensor/small.h"
#include "gradus/tensor/storage.h"

namespace gradus {

class Node;  // the graph's; tensor/ never looks inside
GRADUS_API void retain(Node*) noexcept;
GRADUS_API void release(Node*) noexcept;
GRADUS_API bool is_leaf(const Node*) noexcept;

class Tensor;

// Axes of a reduction: one, several, or none for all. Negative ones count from the end.
struct Axes {
  std::optional<Shape> list;
  Axes() = default;
  Axes(int axis) : list(Shape{axis}) {}
  Axes(std::int64_t axis) : list(Shape{axis}) {}
  Axes(std::initializer_list<std::int64_t> axes) : list(Shape(axes)) {}
  explicit Axes(const Shape& axes) : list(axes) {}
};

// What a handle points to.
struct TensorImpl : Counted, SmallObject {
  Ref<Storage> storage;
  std::int64_t offset = 0;  // in elements
  std::int64_t numel = 0;
  Shape shape, strides;
  DType dtype = DType::f32;
  bool contiguous = true;
  Ref<Node> node;  // null: not part of a graph

  TensorImpl() = default;
  // In row-major order.
  TensorImpl(Ref<Storage> memory, const Shape& sizes, std::int64_t count, DType type)
      : storage(std::move(memory)), numel(count), shape(sizes), strides(sizes), dtype(type) {
    set_contiguous(strides);
  }

  friend void retain(TensorImpl* t) noexcept { t->add_reference(); }
  friend void release(TensorImpl* t) noexcept {
    if (t->drop_reference()) delete t;
  }
};

class GRADUS_API Tensor {
 public:
  Tensor() = default;  // undefined: defined() is false, everything else throws

  bool defined() const noexcept { return static_cast<bool>(impl_); }
  const Shape& shape() const { return impl().shape; }
  const Shape& strides() const { return impl().strides; }  // in elements
  int dim() const { return impl().shape.size(); }
  std::int64_t size(int axis) const {  // negative axes count from the end
    return shape()[checked_axis("size", axis, dim())];
  }
  std::int64_t numel() const { return impl().numel; }
  std::int64_t bytes() const { return numel() * item_size(dtype()); }
  DType dtype() const { return impl().dtype; }
  Device device() const { return impl().storage->device(); }
  bool is_contiguous() const { return impl().contiguous; }

  // The first element; elements follow strides(). T must be the dtype's type. CPU only. Valid until
  // the tensor is written: what shares its memory is separated then.
  template <class T>
  const T* data() const {
    static_assert(is_element<T>, "not an element type");
    return static_cast<const T*>(read_pointer(dtype_of<T>));
  }
  // The same for writing: counts as a change of the tensor, so one that was saved for a gradient is
  // found out. Every write after a use in an operation needs a new call: the memory may be shared
  // with a gradient since.
  template <class T>
  T* mutable_data(Here here = Here::now()) const {
    static_assert(is_element<T>, "not an element type");
    return static_cast<T*>(write_pointer(dtype_of<T>, here));
  }
  // The same without a type, for any dtype.
  const std::byte* raw_data() const;
  std::byte* raw_mutable_data(Here here = Here::now()) const;

  // The value of a tensor of one element, of any dtype, converted to T; to an integer by
  // truncation.
  template <class T = double>
  T item(Here here = Here::now()) const {
    if constexpr (std::is_integral_v<T>) return static_cast<T>(integer_item(here));
    return static_cast<T>(number_item(here));
  }
  // All elements in row-major order; T must be the dtype's type.
  template <class T>
  std::vector<T> to_vector(Here here = Here::now()) const;

  // Memory in the order of the elements; itself where that is so already.
  Tensor contiguous(Here here = Here::now()) const;
  // Itself where nothing changes. To a narrower floating type: to nearest, ties to even. From
  // floating to integer: truncated, the nearest end beyond the range, NaN becomes 0. Between
  // integers: modulo 2^bits. To boolean: x != 0. Recorded between floating types.
  Tensor to(DType, Here here = Here::now()) const;
  Tensor to(Device, Here here = Here::now()) const;
  Tensor clone(Here here = Here::now()) const;   // new memory, still recorded
  Tensor detach(Here here = Here::now()) const;  // the same memory, without the graph
  // Makes this a leaf of graphs (or ends that). Only floating tensors that no operation recorded.
  Tensor& requires_grad_(bool on = true);
  bool requires_grad() const { return static_cast<bool>(impl().node); }

  // In place: the values of `source`, broadcast, of the same dtype and in no graph; one value. A
  // write is not recorded: it is for leaves and tensors outside of graphs, not for results of
  // operations.
  Tensor& copy_(const Tensor& source, Here here = Here::now());
  Tensor& fill_(double value, Here here = Here::now());

  // Views.
  Tensor operator[](std::int64_t i) const;  // along the first axis, which goes; -1 is the last
  Tensor slice(std::int64_t axis, std::int64_t start, std::int64_t stop, std::int64_t step = 1,
               Here here = Here::now()) const;
  Tensor reshape(const Shape&,
                 Here here = Here::now()) const;  // one size may be -1; copies if it must
  Tensor transpose(std::int64_t a, std::int64_t b, Here here = Here::now()) const;
  Tensor permute(const Shape& axes, Here here = Here::now()) const;
  Tensor expand(const Shape&, Here here = Here::now()) const;  // -1 keeps a size
  // Axes from .. to, both included, as one.
  Tensor flatten(std::int64_t from = 0, std::int64_t to = -1, Here here = Here::now()) const;
  Tensor unsqueeze(std::int64_t axis, Here here = Here::now()) const;
  Tensor squeeze(std::int64_t axis, Here here = Here::now()) const;  // an axis of size 1
  Tensor t(Here here = Here::now()) const;                           // of a matrix

  // Reductions.
  Tensor sum(const Axes& axes = {}, bool keepdim = false, Here here = Here::now()) const;
  Tensor mean(const Axes& axes = {}, bool keepdim = false, Here here = Here::now()) const;
  Tensor max(const Axes& axes = {}, bool keepdim = false, Here here = Here::now()) const;
  Tensor min(const Axes& axes = {}, bool keepdim = false, Here here = Here::now()) const;
  Tensor prod(const Axes& axes = {}, bool keepdim = false, Here here = Here::now()) const;
  Tensor matmul(const Tensor& other, Here here = Here::now()) const;

  // For the layers above.
  TensorImpl& impl() const {
    if (!impl_) [[unlikely]]
      undefined();
    return *impl_;
  }
  const Ref<TensorImpl>& handle() const noexcept { return impl_; }
  static Tensor from_impl(Ref<TensorImpl> impl) {
    Tensor t;
    t.impl_ = std::move(impl);
    return t;
  }
  // A tensor on this one's storage, outside of any graph. The caller answers for the bounds.
  Tensor alias(const Shape& shape, const Shape& strides, std::int64_t offset) const;
  // True when this handle, its storage and its memory have no other owner.
  bool sole_owner() const noexcept {
    return impl_ && impl_->references() == 1 && impl_->storage->references() == 1 &&
           !impl_->storage->shares_memory();
  }

 private:
  [[noreturn]] static void undefined();
  const void* read_pointer(DType) const;
  void* write_pointer(DType, Here) const;
  double number_item(Here here) const;
  std::int64_t integer_item(Here here) const;

  Ref<TensorImpl> impl_;
};

// An operand of a public operation together with the caller's place: built implicitly from a
// tensor, for operators too.
struct At {
  const Tensor& tensor;
  Here here;
  At(const Tensor& t, const char* file = __builtin_FILE(), int line = __builtin_LINE())
      : tensor(t), here{file, line} {}
  const Tensor* operator->() const { return &tensor; }
  const Tensor& operator*() const { return tensor; }
};

// New tensors (elements undefined for `empty`). Sizes are checked.
GRADUS_API Tensor empty(const Shape&, DType = DType::f32, Device = Device::cpu);
GRADUS_API Tensor zeros(const Shape&, DType = DType::f32, Device = Device::cpu);
GRADUS_API Tensor ones(const Shape&, DType = DType::f32, Device = Device::cpu);
GRADUS_API Tensor full(const Shape&, double value, DType = DType::f32, Device = Device::cpu);
// start, start + step, ... below stop (above it for a negative step).
GRADUS_API Tensor arange(double start, double stop, double step = 1, DType = DType::f32,
                         Device = Device::cpu);
GRADUS_API Tensor arange(double stop, DType = DType::f32, Device = Device::cpu);
// `count` values from start to stop, both included.
GRADUS_API Tensor linspace(double start, double stop, std::int64_t count, DType = DType::f32,
                           Device = Device::cpu);
// Ones on the main diagonal; square without `columns`.
GRADUS_API Tensor eye(std::int64_t rows, std::int64_t columns = -1, DType = DType::f32,
                      Device = Device::cpu);
// The values, copied; along one axis without a shape.
template <class T>
Tensor from_vector(const std::vector<T>& values);
template <class T>
Tensor from_vector(const std::vector<T>& values, const Shape& shape);
// The user's memory, not copied; it must outlive every tensor on it, or `release` frees it. Strides
// in elements; row-major when absent.
template <class T>
Tensor from_blob(T* data, const Shape& shape, std::function<void()> release = {});
template <class T>
Tensor from_blob(T* data, const Shape& shape, const Shape& strides,
                 std::function<void()> release = {});

// "[[1., 2.], ...]" in NumPy's style: 8 significant digits at most, long axes shortened.
GRADUS_API std::string to_string(const Tensor&);
GRADUS_API std::ostream& operator<<(std::ostream&, const Tensor&);

namespace detail {
GRADUS_API Tensor from_bytes(const void* data, DType, std::int64_t count, const Shape&);
GRADUS_API Tensor from_blob(void* data, DType, const Shape&, const std::optional<Shape>& strides,
                            std::function<void()> release);
GRADUS_API void copy_out(const Tensor&, DType, void* out, Here here);
}  // namespace detail

template <class T>
Tensor from_vector(const std::vector<T>& values) {
  return from_vector(values, Shape{std::ssize(values)});
}
template <class T>
Tensor from_vector(const std::vector<T>& values, const Shape& shape) {
  static_assert(is_element<T>, "not an element type");
  if constexpr (std::is_same_v<T, bool>) {
    std::vector<std::uint8_t> bytes(values.begin(), values.end());
    return detail::from_bytes(bytes.data(), DType::boolean, std::ssize(bytes), shape);
  } else {
    return detail::from_bytes(values.data(), dtype_of<T>, std::ssize(values), shape);
  }
}
template <class T>
Tensor from_blob(T* data, const Shape& shape, std::function<void()> release) {
  static_assert(is_element<T>, "not an element type");
  return detail::from_blob(data, dtype_of<T>, shape, {}, std::move(release));
}
template <class T>
Tensor from_blob(T* data, const Shape& shape, const Shape& strides, std::function<void()> release) {
  static_assert(is_element<T>, "not an element type");
  return detail::from_blob(data, dtype_of<T>, shape, strides, std::move(release));
}
template <class T>
std::vector<T> Tensor::to_vector(Here here) const {
  static_assert(is_element<T>, "not an element type");
  if constexpr (std::is_same_v<T, bool>) {
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(numel()));
    detail::copy_out(*this, DType::boolean, bytes.data(), here);
    return {bytes.begin(), bytes.end()};
  } else {
    std::vector<T> values(static_cast<std::size_t>(numel()));
    detail::copy_out(*this, dtype_of<T>, values.data(), here);
    return values;
  }
}

}  // namespace gradus
