// What the readers need of the layer above them where nothing records: so few sources make a
// target.
#include "gradus/tensor/tensor.h"

namespace gradus {

class Node {};
void retain(Node*) noexcept {}
void release(Node*) noexcept {}
bool is_leaf(const Node*) noexcept { return true; }

Tensor Tensor::to(Device, Here) const { return *this; }

}  // namespace gradus
