#include "gradus/nn/module.h"

#include <sstream>
#include <unordered_map>
#include <unordered_set>

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
    for (const auto& [name, list] : kinds_) all += (all.empty() ? "" : "; ") + name + ' ' + list;
    return all;
  }

 private:
  std::vector<std::pair<std::string, std::string>> kinds_;
};

void load_from(const NamedTensors& model, const NamedTensors& source, const std::string& what,
               Here here) {
  Misfits misfits;
  std::unordered_map<std::string, const Tensor*> given;
  for (const auto& [name, value] : source) {
    require(value.defined(), "load: ", what, " has no value for ", name);
    if (!given.emplace(name, &value).second) misfits.add("twice", name);
  }
  std::unordered_set<std::string> known;
  for (const auto& [name, tensor] : model) {
    known.insert(name);
    const auto found = given.find(name);
    if (found == given.end()) {
      misfits.add("missing", name);
      continue;
    }
    const Tensor& value = *found->second;
    if (value.shape() != tensor.shape())
      misfits.add("shapes differ:", name, " is ", value.shape(), ", the model's ", tensor.shape());
    if (value.dtype() != tensor.dtype())
      misfits.add("dtypes differ:", name, " is ", value.dtype(), ", the model's ", tensor.dtype());
  }
  for (const auto& [name, value] : source)
    if (!known.contains(name)) misfits.add("unexpected", name);
  require(misfits.empty(), "load: ", what, " does not fit the model: ", misfits.text());

  // Whatever needs memory comes first: the copies below cannot fail half way.
  std::vector<Tensor> values;
  values.reserve(model.size());
  for (const auto& [name, tensor] : model) {
    Tensor value = given.at(name)->detach().to(tensor.device());
    const bool shared = value.impl().storage == tensor.impl().storage;
    values.push_back(shared ? value.clone() : value);
  }
  for (std::size_t i = 0; i < model.size(); ++i) model[i].second.detach().copy_(values[i], here);
}

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

void drop_repeated(NamedTensors& tensors) {
  std::unordered_set<const TensorImpl*> seen;
  std::erase_if(tensors, [&](const auto& t) { return !seen.insert(t.second.handle().get()).second; });
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
  load_from(model, source, "the list", here);
}
void load(const NamedTensors& model, const std::filesystem::path& path,
          std::map<std::string, std::string>* metadata, Here here) {
  std::map<std::string, std::string> read;
  load_from(model, load_safetensors(path, &read), path.string(), here);
  if (metadata) *metadata = std::move(read);
}

}  // namespace gradus::nn::detail
