// Internal to the graph: what grad() and operations made of steps need of the thread's state.
#pragma once

#include "gradus/autograd/graph.h"

namespace gradus::detail {

// Names the node whose rule runs, for the errors of saved tensors and of anomaly mode.
class RuleScope {
 public:
  explicit RuleScope(const Node* n) noexcept;
  ~RuleScope();
  RuleScope(const RuleScope&) = delete;
  RuleScope& operator=(const RuleScope&) = delete;

 private:
  const Node* before_;
};

class RecordingScope {
 public:
  explicit RecordingScope(bool on) noexcept;
  ~RecordingScope();
  RecordingScope(const RecordingScope&) = delete;
  RecordingScope& operator=(const RecordingScope&) = delete;

 private:
  bool before_;
};

// What runs in it is the inside of one operation: anomaly mode looks at the result alone.
class StepsScope {
 public:
  StepsScope() noexcept;
  ~StepsScope();
  StepsScope(const StepsScope&) = delete;
  StepsScope& operator=(const StepsScope&) = delete;

 private:
  bool before_;
};

// sum += term; sum is contiguous and nobody else's.
void add_in_place(const Tensor& sum, const Tensor& term);

// How many of this thread's maps ran their definition, for want of kernels on the device.
std::int64_t composed_maps() noexcept;

}  // namespace gradus::detail
