// Labelled grey images, from IDX files or made up.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gradus::examples {

struct LabelledImages {
  std::int64_t count = 0, rows = 0, columns = 0;
  std::vector<std::uint8_t> pixels;  // (count, rows, columns), 0 black to 255 white
  std::vector<std::uint8_t> labels;  // (count)
};

struct ImageSet {
  LabelledImages train, test;
};

inline constexpr const char* fashion_mnist = "/usr/share/datasets/fashion-mnist";

// `where` is a folder with the four files of the MNIST family (train-images-idx3-ubyte, ..., with
// or without .gz) or the word "synthetic". Throws DataError if a file is missing or malformed, the
// set is empty, images and labels differ in number, or train and test images in size.
ImageSet load_images(const std::string& where);

// Shapes of ten kinds (bars, crosses, rings, ...) of random place, size, angle and thickness, 28 x
// 28: always the same ones, 2,000 to train and 500 to test.
ImageSet synthetic_images();

}  // namespace gradus::examples
