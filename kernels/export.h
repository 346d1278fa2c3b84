// What the shared library shows: everything else is hidden.
#pragma once
#define GRADUS_API __attribute__((visibility("default")))
