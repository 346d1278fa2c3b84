// Pictures: tiles of images, coloured points, and PNG files of them.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "examples/common/file.h"

namespace gradus::examples {

struct Picture {
  int rows = 0, columns = 0;
  int channels = 1;                  // 1 grey, 3 RGB
  std::vector<std::uint8_t> pixels;  // (rows, columns, channels)
};

struct GridOptions {
  int columns = 10;
  int padding = 1;  // pixels around every image, before the magnification
  int scale = 2;    // each pixel becomes a square of this many
};

// `images` holds any number of grey images (rows, columns) one after the other, 0 black to 1 white;
// values beyond are clamped, NaN is black. They fill the grid row by row; what remains of the last
// row is empty.
Picture grid(std::span<const float> images, int rows, int columns, GridOptions options = {});

// One dot for each pair of coordinates, coloured by its label, in a square picture around nearly
// all of them; grey lines mark zero. Points that are not finite are left out.
Picture scatter(std::span<const float> points, std::span<const std::uint8_t> labels,
                int size = 640);

// Colour of a label, modulo ten.
std::array<std::uint8_t, 3> label_color(int label);

Bytes encode_png(const Picture& picture);

}  // namespace gradus::examples
