// What the tests of examples/common share.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "examples/common/file.h"

namespace gradus::examples {

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

template <class E>
std::string message_of(auto&& action) {
  try {
    action();
  } catch (const E& error) {
    return error.what();
  }
  return "no such error";
}

// A test that works in a folder of its own.
class InFolder : public testing::Test {
 protected:
  InFolder() : before_(std::filesystem::current_path()) {
    folder_ = Path(testing::TempDir()) / ("gradus_common_" + std::to_string(::getpid()));
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directory(folder_);
    std::filesystem::current_path(folder_);
  }
  ~InFolder() override {
    std::filesystem::current_path(before_);
    std::filesystem::remove_all(folder_);
  }

  Path before_, folder_;
};

}  // namespace gradus::examples
