// Members of Tensor that record: the operations of the same name, and conversions.
#include "gradus/autograd/ops.h"
#include "gradus/tensor/copy.h"

namespace gradus {
namespace {
At at(const Tensor& t, Here here) { return At(t, here.file, here.line); }
}  // namespace

Tensor Tensor::contiguous(Here here) const { return is_contiguous() ? *this : clone(here); }

Tensor Tensor::clone(Here here) const {
  return record("clone", here, detail::contiguous_copy(*this),
                wrt(*this, [](const Tensor& g) { return g; }));
}

Tensor Tensor::detach(Here here) const {
  return record_nothing("detach", here, alias(shape(), strides(), impl().offset), {this});
}

Tensor Tensor::to(DType dtype, Here here) const {
  if (dtype == this->dtype()) return *this;
  const Tensor y = detail::converted(*this, dtype);
  if (!is_floating(dtype)) return record_nothing("to", here, y, {this});
  return record("to", here, y,
                wrt(*this, [from = this->dtype()](const Tensor& g) { return g.to(from); }));
}

Tensor Tensor::to(Device device, Here here) const {
  if (device == this->device()) return *this;
  const Tensor y = device == Device::cpu ? detail::read_back("to", *this, here)
                                         : detail::sent("to", *this, device, here);
  return record("to", here, y,
                wrt(*this, [from = this->device()](const Tensor& g) { return g.to(from); }));
}

Tensor Tensor::operator[](std::int64_t i) const {
  require(dim() > 0, "[]: a tensor without axes has no elements to index");
  const std::int64_t n = shape()[0];
  require(i >= -n && i < n, "[]: index ", i, " is out of range for size ", n);
  const std::int64_t k = i < 0 ? i + n : i;
  return slice(0, k, k + 1).squeeze(0);
}

Tensor Tensor::slice(std::int64_t axis, std::int64_t start, std::int64_t stop, std::int64_t step,
                     Here here) const {
  return gradus::slice(at(*this, here), axis, start, stop, step);
}
Tensor Tensor::reshape(const Shape& shape, Here here) const {
  return gradus::reshape(at(*this, here), shape);
}
Tensor Tensor::transpose(std::int64_t a, std::int64_t b, Here here) const {
  return gradus::transpose(at(*this, here), a, b);
}
Tensor Tensor::permute(const Shape& axes, Here here) const {
  return gradus::permute(at(*this, here), axes);
}
Tensor Tensor::expand(const Shape& shape, Here here) const {
  return gradus::expand(at(*this, here), shape);
}
Tensor Tensor::t(Here here) const {
  require(dim() == 2, "t: needs a matrix, got shape ", shape());
  return gradus::transpose(at(*this, here), 0, 1);
}

Tensor Tensor::flatten(std::int64_t from, std::int64_t to, Here here) const {
  if (dim() == 0) return reshape({1}, here);
  const int a = checked_axis("flatten", from, dim()), b = checked_axis("flatten", to, dim());
  require(a <= b, "flatten: axis ", from, " stands behind axis ", to);
  Shape sizes;
  for (int i = 0; i < dim(); ++i) {
    if (i > a && i <= b)
      sizes[a] *= shape()[i];
    else
      sizes.push_back(shape()[i]);
  }
  return reshape(sizes, here);
}

Tensor Tensor::unsqueeze(std::int64_t axis, Here here) const {
  const int a = checked_axis("unsqueeze", axis, dim() + 1);
  Shape sizes = shape();
  sizes.insert(a, 1);
  return reshape(sizes, here);
}

Tensor Tensor::squeeze(std::int64_t axis, Here here) const {
  const int a = checked_axis("squeeze", axis, dim());
  require(shape()[a] == 1, "squeeze: axis ", axis, " of ", shape(), " is not of size 1");
  Shape sizes = shape();
  sizes.erase(a);
  return reshape(sizes, here);
}

Tensor Tensor::sum(const Axes& axes, bool keepdim, Here here) const {
  return gradus::sum(at(*this, here), axes, keepdim);
}
Tensor Tensor::mean(const Axes& axes, bool keepdim, Here here) const {
  return gradus::mean(at(*this, here), axes, keepdim);
}
Tensor Tensor::max(const Axes& axes, bool keepdim, Here here) const {
  return gradus::max(at(*this, here), axes, keepdim);
}
Tensor Tensor::min(const Axes& axes, bool keepdim, Here here) const {
  return gradus::min(at(*this, here), axes, keepdim);
}
Tensor Tensor::prod(const Axes& axes, bool keepdim, Here here) const {
  return gradus::prod(at(*this, here), axes, keepdim);
}
Tensor Tensor::matmul(const Tensor& other, Here here) const {
  return gradus::matmul(at(*this, here), other);
}

}  // namespace gradus
