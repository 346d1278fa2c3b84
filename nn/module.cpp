#include "gradus/nn/module.h"

#include <sstream>
#include <unordered_map>
#include <unordered_set>

#include "gradus/tensor/copy.h"

namespace gradus::nn::detail {
namespace {

// What does not fit, sorted by kind.
class Misfits {
 public:
  template <class... Parts>
  void add(const char* kind, const Parts&... parts) {
    std::ostringstream text;
    (text << ... << parts);
    for (auto& [name, list] : kinds_)
      if (name == kind) {
        list += ", " + text.str();
        return;
      }
    kinds_.emplace_back(kind, text.str());
  }
  bool empty() const { return kinds_.empty(); }
  std::string text() const {
    std::string all;
    for (const auto& [name, list] : kinds_) all += (all.empty() ? "" : "; ") + name + ": " + list;
    return all;
  }

 private:
  std::vector<std::pair<std::string, std::string>> kinds_;
};

// The handle goes on as `value`, which has its shape; the leaf of graphs stays.
void change(const Tensor& handle, const Tensor& value) {
  TensorImpl& to = handle.impl();
  const TensorImpl& from = value.impl();
  to.storage = from.storage;
  to.offset = from.offset;
  to.strides = from.strides;
  to.dtype = from.dtype;
  to.contiguous = from.contiguous;
}

template <class Target>
void move_all(const NamedTensors& tensors, Target target, bool floating_only, Here here) {
  NamedTensors moved;
  for (const auto& [name, t] : tensors)
    if (!floating_only || is_floating(t.dtype()))
      moved.emplace_back(name, t.detach().to(target, here));
  std::size_t next = 0;
  for (const auto& [name, t] : tensors)
    if (next < moved.size() && moved[next].first == name) change(t, moved[next++].second);
}

}  // namespace

void assign(const char* operation, const char* target, const NamedTensors& tensors,
            const std::string& source, const NamedTensors& values, Here here) {
  Misfits misfits;
  std::unordered_map<std::string, const Tensor*> given;
  for (const auto& [name, value] : values) {
    require(value.defined(), operation, ": ", source, " has no value for ", name);
    if (!given.emplace(name, &value).second) misfits.add("twice", name);
  }
  std::unordered_set<std::string> known;
  for (const auto& [name, tensor] : tensors) {
    known.insert(name);
    const auto found = given.find(name);
    if (found == given.end()) {
      misfits.add("missing", name);
      continue;
    }
    const Tensor& value = *found->second;
    if (value.shape() != tensor.shape())
      misfits.add("of another shape", name, ' ', value.shape(), " instead of ", tensor.shape());
    if (value.dtype() != tensor.dtype())
      misfits.add("of another dtype", name, ' ', value.dtype(), " instead of ", tensor.dtype());
  }
  for (const auto& [name, value] : values)
    if (!known.contains(name)) misfits.add("unexpected", name);
  require(misfits.empty(), operation, ": ", source, " does not fit ", target, ": ", misfits.text());

  // Whatever needs memory comes first: the copies at the end cannot fail half way.
  std::vector<Tensor> sources, targets;
  for (const auto& [name, tensor] : tensors) {
    const Tensor value = given.at(name)->detach().to(tensor.device());
    const bool shared = value.impl().storage == tensor.impl().storage;
    sources.push_back(shared ? value.clone() : value);
    targets.push_back(tensor.detach());
    gradus::detail::note_write(targets.back(), here);
  }
  for (std::size_t i = 0; i < targets.size(); ++i) targets[i].copy_(sources[i], here);
}

void drop_repeated(NamedTensors& tensors) {
  std::unordered_set<const TensorImpl*> seen;
  std::erase_if(tensors,
                [&](const auto& t) { return !seen.insert(t.second.handle().get()).second; });
}

std::vector<Tensor> trainable(const NamedTensors& tensors) {
  std::vector<Tensor> list;
  for (const auto& [name, t] : tensors)
    if (t.requires_grad()) list.push_back(t);
  return list;
}

std::int64_t count(const NamedTensors& tensors) {
  std::int64_t n = 0;
  for (const auto& [name, t] : tensors)
    if (t.requires_grad()) n += t.numel();
  return n;
}

std::vector<Tensor> copies(const NamedTensors& tensors) {
  std::vector<Tensor> list;
  for (const auto& [name, t] : tensors)
    list.push_back(t.detach().clone().requires_grad_(t.requires_grad()));
  return list;
}

void move_to(const NamedTensors& tensors, DType dtype, Here here) {
  require(is_floating(dtype), "to: a model's dtype is a floating one, got ", dtype);
  move_all(tensors, dtype, true, here);
}
void move_to(const NamedTensors& tensors, Device device, Here here) {
  move_all(tensors, device, false, here);
}

void load(const NamedTensors& model, const NamedTensors& source, Here here) {
  assign("load", "the model", model, "the list", source, here);
}
void load(const NamedTensors& model, const std::string& path,
          std::map<std::string, std::string>* metadata, Here here) {
  std::map<std::string, std::string> read;
  assign("load", "the model", model, path, load_safetensors(path, &read), here);
  if (metadata) *metadata = std::move(read);
}

}  // namespace gradus::nn::detail
