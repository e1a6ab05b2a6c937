// SPDX-License-Identifier: MIT
// Runs the reference controller's core on a PC, in real time. Line: stdin and stdout. Descriptor argv[1]: "estop 1" and so
// on, a line each, to set inputs. Descriptor argv[2]: "released 0" whenever the outputs change.

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "line_core.h"

static uint32_t milliseconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint32_t>(now.tv_sec * 1000ull + now.tv_nsec / 1000000);
}

static void toHost(const char* text, size_t length, void*) {
  if (write(1, text, length) < 0) _exit(1);
}

static void set(isocenter::Inputs& inputs, const char* key, int value) {
  if (!strcmp(key, "estop")) inputs.estop = value;
  if (!strcmp(key, "door")) inputs.door = value;
  if (!strcmp(key, "gpa_fault")) inputs.gpa_fault = value;
  if (!strcmp(key, "gpa_hot")) inputs.gpa_hot = value;
  if (!strcmp(key, "rf_fault")) inputs.rf_fault = value;
  if (!strcmp(key, "ups")) inputs.ups = value;
  if (!strcmp(key, "ups_charge")) inputs.ups_charge = static_cast<uint8_t>(value);
  if (!strcmp(key, "t_magnet")) inputs.t_magnet = static_cast<int16_t>(value);
  if (!strcmp(key, "t_room")) inputs.t_room = static_cast<int16_t>(value);
  if (!strcmp(key, "t_gpa")) inputs.t_gpa = static_cast<int16_t>(value);
}

// Whole lines of what has come so far; the rest is kept.
static void control(isocenter::Inputs& inputs, int descriptor) {
  static char text[8192];
  static size_t length = 0;
  const ssize_t n = read(descriptor, text + length, sizeof text - 1 - length);
  if (n <= 0) _exit(0);
  length += static_cast<size_t>(n);
  text[length] = '\0';
  char* line = text;
  while (char* end = strchr(line, '\n')) {
    char key[32];
    int value;
    *end = '\0';
    if (sscanf(line, "%31s %d", key, &value) == 2) set(inputs, key, value);
    line = end + 1;
  }
  length -= static_cast<size_t>(line - text);
  memmove(text, line, length);
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const int control_fd = atoi(argv[1]), status_fd = atoi(argv[2]);
  // Where its clock starts, to try the wrap after 49 days.
  const uint32_t offset = argc > 3 && *argv[3] ? static_cast<uint32_t>(strtoul(argv[3], nullptr, 10)) - milliseconds() : 0;
  isocenter::LineCore core(toHost, nullptr);
  // A file in the place of the EEPROM.
  const int memory = argc > 4 ? open(argv[4], O_RDWR | O_CREAT, 0600) : -1;
  uint8_t stored = 0;
  if (memory >= 0 && pread(memory, &stored, 1, 0) == 1) core.restore(static_cast<isocenter::Cause>(stored));
  isocenter::Inputs inputs;
  bool released = true;
  pollfd watched[2] = {{0, POLLIN, 0}, {control_fd, POLLIN, 0}};
  control(inputs, control_fd);  // the first word is that of the pins
  for (;;) {
    core.tick(milliseconds() + offset, inputs);
    if (core.outputsReleased() != released) {
      released = core.outputsReleased();
      dprintf(status_fd, "released %d\n", released);
    }
    if (memory >= 0 && stored != static_cast<uint8_t>(core.latchedBy())) {
      stored = static_cast<uint8_t>(core.latchedBy());
      if (pwrite(memory, &stored, 1, 0) != 1) return 1;
    }
    if (poll(watched, 2, 2) <= 0) continue;
    if (watched[1].revents) control(inputs, control_fd);
    if (watched[0].revents) {
      char text[64];
      const ssize_t n = read(0, text, sizeof text);
      if (n <= 0) return 0;
      for (ssize_t i = 0; i < n; ++i) {
        core.tick(milliseconds() + offset, inputs);
        core.feed(text[i]);
      }
    }
  }
}
