// SPDX-License-Identifier: MIT
// Interlock controller and sensors of Isocenter: protocol and state machine, without a word about pins.
// docs/line-protocol.md tells what it does. Plain C++11, no heap, no floating point; it runs on an Arduino Uno and on a PC.

#ifndef ISOCENTER_LINE_CORE_H
#define ISOCENTER_LINE_CORE_H

#include <stddef.h>
#include <stdint.h>

namespace isocenter {

const uint32_t kBeatWithinMs = 800;
const int16_t kUnknown = 32767;  // a temperature that the sensor does not give

// What the pins say. Contacts: true is the bad state (pressed, open, fault), and a broken wire must read as true.
struct Inputs {
  bool estop = true;
  bool door = true;
  bool gpa_fault = false;
  bool gpa_hot = false;
  bool rf_fault = false;
  bool ups = false;               // on battery
  uint8_t ups_charge = 100;       // percent
  int16_t t_magnet = kUnknown;    // hundredths of a degree Celsius
  int16_t t_room = kUnknown;
  int16_t t_gpa = kUnknown;
};

enum class Cause : uint8_t { kNone, kHost, kBeat, kEstop, kDoor };

inline uint8_t crc8(const char* text, size_t length) {
  uint8_t crc = 0;
  for (size_t i = 0; i < length; ++i) {
    crc ^= static_cast<uint8_t>(text[i]);
    for (uint8_t bit = 0; bit < 8; ++bit) crc = static_cast<uint8_t>((crc & 0x80) ? (crc << 1) ^ 0x07 : crc << 1);
  }
  return crc;
}

class LineCore {
 public:
  typedef void (*Send)(const char* text, size_t length, void* context);

  LineCore(Send send, void* context) : send_(send), context_(context) {}

  // RF may be unblanked and gradients may be enabled. False from power-up on until the host arms.
  bool outputsReleased() const { return armed_; }

  // Why it is latched, kNone when it is not. Keep it where it survives a restart, and give it back before the first tick.
  Cause latchedBy() const { return latched_ ? cause_ : Cause::kNone; }
  void restore(Cause cause) {
    if (cause != Cause::kNone) latch(cause);
  }

  // As often as possible, at least every 10 ms, and before each feed.
  void tick(uint32_t now_ms, const Inputs& inputs) {
    now_ms_ = now_ms;
    inputs_ = inputs;
    if (inputs_.estop) latch(Cause::kEstop);
    if (armed_ && inputs_.door) latch(Cause::kDoor);
    if (armed_ && now_ms_ - beat_ms_ >= kBeatWithinMs) latch(Cause::kBeat);  // also right when the clock wraps
    const uint32_t passed = now_ms_ - second_ms_;
    up_s_ += passed / 1000;
    second_ms_ += passed / 1000 * 1000;
  }

  // One byte from the host. Set the pins after each: '!' cuts the outputs before its line has ended.
  void feed(char c) {
    if (c == '!') {
      latch(Cause::kHost);
      length_ = 0;
      is_too_long_ = false;
    } else if (c == '\n') {
      if (length_ > 0 || is_too_long_) answer();
      length_ = 0;
      is_too_long_ = false;
    } else if (c == '\r') {
      // before a line feed; nothing else uses it
    } else if (length_ < kLongestIn) {
      in_[length_++] = c;
    } else {
      is_too_long_ = true;
    }
  }

 private:
  static const size_t kLongestIn = 120;
  static const size_t kLongestOut = 256;

  void latch(Cause cause) {
    armed_ = false;
    if (latched_) return;  // the first cause is the one that is told
    latched_ = true;
    cause_ = cause;
  }

  void answer() {
    out_length_ = 0;
    const char* seq = nullptr;
    const char* verb = nullptr;
    if (!readLine(&seq, &verb)) {
      text("seq=0 ok=0 why=damaged");
    } else {
      text("seq=");
      text(seq);
      obey(verb);
    }
    const uint8_t crc = crc8(out_, out_length_);
    text("*");
    hex(crc >> 4);
    hex(crc & 0x0f);
    text("\r\n");
    send_(out_, out_length_, context_);
  }

  // Cuts "seq=17 do=read*3D" into its words; false when anything is wrong with it.
  bool readLine(const char** seq, const char** verb) {
    if (is_too_long_ || length_ < 4 || in_[length_ - 3] != '*') return false;
    const uint8_t crc = crc8(in_, length_ - 3);
    if (in_[length_ - 2] != hexDigit(crc >> 4) || in_[length_ - 1] != hexDigit(crc & 0x0f)) return false;
    in_[length_ - 3] = '\0';
    char* word = in_;
    while (word != nullptr) {
      char* end = word;
      while (*end != '\0' && *end != ' ') ++end;
      char* next = (*end == ' ') ? end + 1 : nullptr;
      *end = '\0';
      if (starts(word, "seq=")) *seq = word + 4;
      if (starts(word, "do=")) *verb = word + 3;
      word = next;
    }
    return *seq != nullptr && *verb != nullptr && isNumber(*seq);
  }

  void obey(const char* verb) {
    if (same(verb, "hello")) {
      text(" ok=1 protocol=isocenter-line-1 name=isocenter-controller firmware=1.0 serial=?"
           " has=interlock,estop,door,gpa_fault,gpa_hot,rf_fault,ups,t_magnet,t_room,t_gpa");
      return;
    }
    const char* why = "";
    if (same(verb, "read")) {
    } else if (same(verb, "beat")) {
      beat_ms_ = now_ms_;
    } else if (same(verb, "arm")) {
      why = arm();
    } else if (same(verb, "standby")) {
      armed_ = false;
    } else if (same(verb, "trip")) {
      latch(Cause::kHost);
    } else if (same(verb, "clear")) {
      why = clear();
    } else {
      why = "verb";
    }
    text(*why ? " ok=0 why=" : " ok=1");
    text(why);
    state();
  }

  const char* arm() {
    if (latched_) return "latched";
    if (inputs_.door) return "door";
    armed_ = true;
    cause_ = Cause::kNone;
    beat_ms_ = now_ms_;
    return "";
  }

  const char* clear() {
    if (!latched_) return "";
    if (inputs_.estop) return "estop";
    if (cause_ == Cause::kDoor && inputs_.door) return "door";
    latched_ = false;
    cause_ = Cause::kNone;
    return "";
  }

  void state() {
    static const char* const kCauses[] = {"none", "host", "beat", "estop", "door"};
    contact(" armed=", armed_);
    contact(" latched=", latched_);
    text(" cause=");
    text(kCauses[static_cast<uint8_t>(cause_)]);
    contact(" blank=", !armed_);
    contact(" gpa=", armed_);
    text(" up=");
    number(up_s_);
    contact(" estop=", inputs_.estop);
    contact(" door=", inputs_.door);
    contact(" gpa_fault=", inputs_.gpa_fault);
    contact(" gpa_hot=", inputs_.gpa_hot);
    contact(" rf_fault=", inputs_.rf_fault);
    contact(" ups=", inputs_.ups);
    text(" ups_charge=");
    number(inputs_.ups_charge);
    degrees(" t_magnet=", inputs_.t_magnet);
    degrees(" t_room=", inputs_.t_room);
    degrees(" t_gpa=", inputs_.t_gpa);
  }

  void text(const char* s) {
    while (*s && out_length_ < kLongestOut) out_[out_length_++] = *s++;
  }

  void contact(const char* key, bool value) {
    text(key);
    text(value ? "1" : "0");
  }

  void number(uint32_t value) {
    char digits[11];
    size_t n = sizeof digits - 1;
    digits[n] = '\0';
    do {
      digits[--n] = static_cast<char>('0' + value % 10);
      value /= 10;
    } while (value > 0);
    text(digits + n);
  }

  void degrees(const char* key, int16_t hundredths) {
    text(key);
    if (hundredths == kUnknown) {
      text("?");
      return;
    }
    uint16_t size = static_cast<uint16_t>(hundredths);
    if (hundredths < 0) {
      text("-");
      size = static_cast<uint16_t>(0u - size);
    }
    number(size / 100);
    text(".");
    if (size % 100 < 10) text("0");
    number(size % 100);
  }

  void hex(uint8_t nibble) {
    const char s[2] = {hexDigit(nibble), '\0'};
    text(s);
  }

  static char hexDigit(uint8_t nibble) { return static_cast<char>(nibble < 10 ? '0' + nibble : 'A' + nibble - 10); }

  static bool starts(const char* word, const char* with) {
    while (*with)
      if (*word++ != *with++) return false;
    return true;
  }

  static bool same(const char* a, const char* b) {
    while (*a && *a == *b) ++a, ++b;
    return *a == *b;
  }

  static bool isNumber(const char* s) {
    size_t n = 0;
    for (; s[n]; ++n)
      if (s[n] < '0' || s[n] > '9') return false;
    return n >= 1 && n <= 5;
  }

  Send send_;
  void* context_;
  Inputs inputs_;
  bool armed_ = false;
  bool latched_ = false;
  Cause cause_ = Cause::kNone;
  uint32_t now_ms_ = 0;
  uint32_t beat_ms_ = 0;
  uint32_t second_ms_ = 0;
  uint32_t up_s_ = 0;
  char in_[kLongestIn];
  size_t length_ = 0;
  bool is_too_long_ = false;
  char out_[kLongestOut];
  size_t out_length_ = 0;
};

}  // namespace isocenter

#endif
