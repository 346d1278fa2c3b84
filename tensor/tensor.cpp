#include "gradus/tensor/tensor.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "gradus/kernels/copy.h"
#include "gradus/tensor/copy.h"
#include "gradus/tensor/dispatch.h"
#include "gradus/tensor/ledger.h"

namespace gradus {
namespace {

bool row_major(const Shape& shape, const Shape& strides) {
  std::int64_t step = 1;
  for (int i = shape.size(); i-- > 0;) {
    if (shape[i] == 0) return true;
    if (shape[i] != 1 && strides[i] != step) return false;
    step *= shape[i];
  }
  return true;
}

Tensor make(Ref<Storage> storage, const Shape& shape, const Shape& strides, std::int64_t offset,
            DType dtype) {
  auto impl = Ref<TensorImpl>::adopt(new TensorImpl);
  impl->storage = std::move(storage);
  impl->offset = offset;
  impl->numel = shape.numel();
  impl->shape = shape;
  impl->strides = strides;
  impl->dtype = dtype;
  impl->contiguous = row_major(shape, strides);
  return Tensor::from_impl(std::move(impl));
}

// Lowest and highest element that the strides reach, relative to the first.
std::pair<std::int64_t, std::int64_t> reach(const Shape& shape, const Shape& strides) {
  std::int64_t low = 0, high = 0;
  for (int i = 0; i < shape.size(); ++i) {
    require(std::abs(strides[i]) <= (std::int64_t{1} << 40),
            "from_blob: stride out of range: ", strides);
    (strides[i] < 0 ? low : high) += strides[i] * (shape[i] - 1);
  }
  return {low, high};
}

// f64 values on the CPU as the caller wants them.
Tensor delivered(const Tensor& values, DType dtype, Device device) {
  const Tensor t = dtype == DType::f64 ? values : detail::converted(values, dtype);
  return device == Device::cpu ? t : detail::moved(t, device);
}

void require_writable(const char* operation, const Tensor& t) {
  require(!t.impl().node || is_leaf(t.impl().node.get()), operation,
          ": the tensor is the result of a recorded operation, whose gradient would be that of the "
          "old values (use detach())");
}

}  // namespace

void Tensor::undefined() { fail("tensor: used before it was given a value"); }

const std::byte* Tensor::raw_data() const {
  require(device() == Device::cpu, "data: the tensor lives on ", device(),
          " (copy it with .to(Device::cpu))");
  return detail::first_byte(*this);
}

std::byte* Tensor::raw_mutable_data(Here here) const {
  require(device() == Device::cpu, "mutable_data: the tensor lives on ", device(),
          " (copy it with .to(Device::cpu))");
  detail::note_write(*this, here);
  return detail::first_byte_mutable(*this);
}

const void* Tensor::read_pointer(DType t) const {
  require(dtype() == t, "data: the tensor holds ", dtype(), ", asked for ", t);
  return raw_data();
}

void* Tensor::write_pointer(DType t, Here here) const {
  require(dtype() == t, "mutable_data: the tensor holds ", dtype(), ", asked for ", t);
  return raw_mutable_data(here);
}

double Tensor::number_item(Here here) const {
  require(numel() == 1, "item: needs a tensor of one element, got shape ", shape());
  if (device() != Device::cpu) return detail::read_back("item", *this, here).number_item(here);
  return with_any(dtype(), [&](auto zero) -> double {
    using T = decltype(zero);
    if constexpr (std::is_same_v<T, gradus::bf16>)
      return static_cast<double>(static_cast<float>(*data<T>()));
    else
      return static_cast<double>(*data<T>());
  });
}

std::int64_t Tensor::integer_item(Here here) const {
  require(numel() == 1, "item: needs a tensor of one element, got shape ", shape());
  if (device() != Device::cpu) return detail::read_back("item", *this, here).integer_item(here);
  return with_any(dtype(), [&](auto zero) -> std::int64_t {
    using T = decltype(zero);
    if constexpr (std::is_integral_v<T>) {
      return static_cast<std::int64_t>(*data<T>());
    } else {
      const double value = number_item(here);
      require(value >= -9.2e18 && value <= 9.2e18, "item: ", value, " is no 64-bit integer");
      return static_cast<std::int64_t>(value);
    }
  });
}

Tensor Tensor::alias(const Shape& shape, const Shape& strides, std::int64_t offset) const {
  return make(impl().storage, shape, strides, offset, dtype());
}

Tensor detail::lazy_copy(const Tensor& t) {
  const TensorImpl& from = t.impl();
  Ref<Storage> storage;
  if (from.contiguous && t.bytes() == from.storage->bytes())
    storage = Storage::lazy_copy(from.storage);
  if (!storage) return contiguous_copy(t);
  return make(std::move(storage), from.shape, from.strides, 0, from.dtype);
}

Tensor& Tensor::copy_(const Tensor& source, Here here) {
  require(
      !source.requires_grad(),
      "copy_: writes are not recorded, and the source is part of a graph (use source.detach())");
  require_writable("copy_", *this);
  require(dtype() == source.dtype(), "copy_: dtypes differ: ", dtype(), " and ", source.dtype());
  require(broadcast_shapes("copy_", shape(), source.shape()) == shape(),
          "copy_: the source does not broadcast to ", shape(), ": ", source.shape());
  // An overlapping source is read completely before the first write.
  const bool shares = source.impl().storage == impl().storage;
  Tensor from = shares ? detail::contiguous_copy(source) : source;
  if (from.device() != device())
    from = device() == Device::cpu ? detail::read_back("copy_", from, here)
                                   : detail::sent("copy_", from, device(), here);
  // Of equal shapes nothing is allocated, once the write was noted: writing several tensors cannot
  // then fail half way.
  if (from.shape() != shape())
    from = from.alias(shape(), detail::broadcast_strides(from, shape()), from.impl().offset);
  detail::note_write(*this, here);
  detail::copy_elements(from, *this);
  return *this;
}

Tensor& Tensor::fill_(double value, Here here) {
  require_writable("fill_", *this);
  const Tensor one = full({}, value, dtype(), device());
  return copy_(one, here);
}

Tensor empty(const Shape& shape, DType dtype, Device device) {
  const std::int64_t n = checked_numel("empty", shape, item_size(dtype));
  Ref<Storage> memory = Storage::allocate(n * item_size(dtype), device);
  return Tensor::from_impl(
      Ref<TensorImpl>::adopt(new TensorImpl(std::move(memory), shape, n, dtype)));
}

Tensor full(const Shape& shape, double value, DType dtype, Device device) {
  Tensor t = empty(shape, dtype, device);
  detail::count("full", Work::move, 0, {&t});
  with_any(dtype, [&](auto zero) {
    using T = decltype(zero);
    T v;
    cpu::convert<double, T>(&value, 1, &v);
    using U = detail::BitsOf<sizeof(T)>;
    GRADUS_RUN(device, fill(std::bit_cast<U>(v), t.numel(), detail::out_pointer<U>(t)));
  });
  return t;
}

Tensor zeros(const Shape& shape, DType dtype, Device device) {
  return full(shape, 0, dtype, device);
}

Tensor ones(const Shape& shape, DType dtype, Device device) {
  return full(shape, 1, dtype, device);
}

Tensor arange(double start, double stop, double step, DType dtype, Device device) {
  require(std::isfinite(start) && std::isfinite(stop) && std::isfinite(step) && step != 0,
          "arange: needs finite bounds and a step that is not 0: ", start, ", ", stop, ", ", step);
  const double count = std::max(0.0, std::ceil((stop - start) / step));
  require(count < 9e15, "arange: too many elements: ", count);
  Tensor values = empty({static_cast<std::int64_t>(count)}, DType::f64);
  double* p = values.mutable_data<double>();
  for (std::int64_t i = 0; i < values.numel(); ++i) p[i] = start + static_cast<double>(i) * step;
  return delivered(values, dtype, device);
}

Tensor arange(double stop, DType dtype, Device device) { return arange(0, stop, 1, dtype, device); }

Tensor linspace(double start, double stop, std::int64_t count, DType dtype, Device device) {
  require(count >= 1, "linspace: needs at least one value, got ", count);
  Tensor values = empty({count}, DType::f64);
  double* p = values.mutable_data<double>();
  const double step = count > 1 ? (stop - start) / static_cast<double>(count - 1) : 0;
  for (std::int64_t i = 0; i < count; ++i) p[i] = start + static_cast<double>(i) * step;
  if (count > 1) p[count - 1] = stop;
  return delivered(values, dtype, device);
}

Tensor eye(std::int64_t rows, std::int64_t columns, DType dtype, Device device) {
  if (columns < 0) columns = rows;
  Tensor t = zeros({rows, columns}, dtype, device);
  const std::int64_t n = std::min(rows, columns);
  if (n > 0) t.alias({n}, {columns + 1}, 0).fill_(1);
  return t;
}

namespace detail {

Tensor from_bytes(const void* data, DType dtype, std::int64_t count, const Shape& shape) {
  require(checked_numel("from_vector", shape, item_size(dtype)) == count, "from_vector: ", count,
          " values do not fill shape ", shape);
  Tensor t = gradus::empty(shape, dtype);
  if (count) std::memcpy(first_byte_mutable(t), data, static_cast<std::size_t>(t.bytes()));
  return t;
}

Tensor from_blob(void* data, DType dtype, const Shape& shape, const std::optional<Shape>& strides,
                 std::function<void()> release) {
  const std::int64_t n = checked_numel("from_blob", shape, item_size(dtype));
  require(data || n == 0, "from_blob: null data for shape ", shape);
  const Shape steps = strides.value_or(contiguous_strides(shape));
  require(steps.size() == shape.size(), "from_blob: strides ", steps, " for shape ", shape);
  if (n == 0)
    return make(Storage::wrap(data, 0, std::move(release)), shape, contiguous_strides(shape), 0,
                dtype);
  const auto [low, high] = reach(shape, steps);
  const std::int64_t item = item_size(dtype);
  return make(Storage::wrap(static_cast<std::byte*>(data) + low * item, (high - low + 1) * item,
                            std::move(release)),
              shape, steps, -low, dtype);
}

void copy_out(const Tensor& t, DType dtype, void* out, Here here) {
  require(t.dtype() == dtype, "to_vector: the tensor holds ", t.dtype(), ", asked for ", dtype);
  const Tensor x =
      t.device() == Device::cpu ? contiguous_value(t) : read_back("to_vector", t, here);
  if (x.numel()) std::memcpy(out, x.raw_data(), static_cast<std::size_t>(x.bytes()));
}

}  // namespace detail
}  // namespace gradus
