// Whole steps as graphs of a CUDA device: one launch instead of a hundred.
//
//   auto step = cuda::graphed([&](const Tensor& images) {
//     Tensor loss = -mean(elbo(vae, images, generator));
//     const Tensor shown = loss.detach();
//     adam.step(grad(std::move(loss), adam.parameters()));
//     return shown;
//   });
//   for (auto& batch : loader) last = step(batch.images);
//
// The first call runs the function as it is, which fills the allocator; the second records what it
// launches as a graph and launches that; later calls copy their arguments into those of the
// recording and launch it again. Arguments of other shapes or dtypes are recorded anew; a call
// within another recorded step becomes part of that. All calls give the same bits as the function
// itself. On the CPU the function runs each time.
#pragma once

#include <functional>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "gradus/tensor/tensor.h"

namespace gradus::cuda {

namespace detail {

using Step = std::function<std::vector<Tensor>(const std::vector<Tensor>&)>;

// The recordings of one function, by device, shapes and dtypes of its arguments.
class GRADUS_API Recordings {
 public:
  Recordings();
  ~Recordings();
  Recordings(Recordings&&) noexcept;
  std::vector<Tensor> call(const Step& step, const std::vector<Tensor>& arguments);

 private:
  struct Recording;
  std::vector<std::unique_ptr<Recording>> list_;
};

inline std::vector<Tensor> as_list(Tensor t) { return {std::move(t)}; }
inline std::vector<Tensor> as_list(std::vector<Tensor> list) { return list; }

}  // namespace detail

// What graphed() makes: called like the function.
template <class F>
class Graphed {
 public:
  explicit Graphed(F f) : f_(std::move(f)) {}

  template <class... Ts>
  auto operator()(const Ts&... arguments) {
    return call(std::index_sequence_for<Ts...>{}, {static_cast<const Tensor&>(arguments)...});
  }

 private:
  template <std::size_t... I>
  auto call(std::index_sequence<I...>, const std::vector<Tensor>& arguments) {
    using Result = decltype(f_(arguments[I]...));
    const auto step = [this](const std::vector<Tensor>& x) { return detail::as_list(f_(x[I]...)); };
    std::vector<Tensor> y = recordings_.call(step, arguments);
    if constexpr (std::is_same_v<Result, Tensor>)
      return y.at(0);
    else
      return y;
  }

  F f_;
  detail::Recordings recordings_;
};

// f takes one or more tensors, all on one device and none of them part of a graph for gradients,
// and returns a tensor or a vector of them, which are handed on detached. Those belong to the
// recording: the next call overwrites them (copy what is to stay). Each combination of shapes is a
// recording with memory of its own. What f refers to (parameters, optimisers, generators) must live
// as long as the result, at the same place, and parameters must keep their memory. Where f waits
// for the device while it is recorded (item(), to(Device::cpu), printing), or copies to it, the
// call throws Error and names the place; f may be called again.
template <class F>
Graphed<F> graphed(F f) {
  return Graphed<F>(std::move(f));
}

}  // namespace gradus::cuda
