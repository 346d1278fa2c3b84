#include "gradus/tensor/storage.h"

#include "gradus/tensor/error.h"

namespace gradus {

Ref<Storage> Storage::allocate(std::int64_t bytes, Device device) {
  if (device != Device::cpu) {
    std::ostringstream text;
    text << "allocate: this build has no device " << device << "; it has cpu";
    throw Error(text.str());
  }
  auto s = Ref<Storage>::adopt(new Storage);
  s->data_ = static_cast<std::byte*>(detail::allocate(bytes));
  s->bytes_ = bytes;
  s->device_ = device;
  s->owned_ = true;
  return s;
}

Ref<Storage> Storage::wrap(void* data, std::int64_t bytes, std::function<void()> release) {
  auto s = Ref<Storage>::adopt(new Storage);
  s->data_ = static_cast<std::byte*>(data);
  s->bytes_ = bytes;
  s->release_ = std::move(release);
  return s;
}

Storage::~Storage() {
  if (owned_) detail::deallocate(data_, bytes_);
  if (release_) release_();
}

}  // namespace gradus
