// SPDX-License-Identifier: MIT
// Reference interlock controller for Isocenter. Arduino Uno, Nano or Mega; pins below; docs/line-protocol.md tells the rest.
// It is a second line of defence, not the only one: let the emergency stop also cut the amplifiers' mains by itself.

#include "line_core.h"

#if defined(__AVR__)
#include <EEPROM.h>
#include <avr/wdt.h>
#endif

// Inputs, with the pull-up on: a closed contact to ground is good, an open one or a broken wire is bad.
const uint8_t kEstopPin = 2;
const uint8_t kDoorPin = 3;
const uint8_t kGpaFaultPin = 4;
const uint8_t kGpaHotPin = 5;
const uint8_t kRfFaultPin = 6;
const uint8_t kUpsPin = 7;

// Outputs: high releases. A 10 kohm resistor to ground holds each low while the controller starts or has no power.
const uint8_t kReleaseRfPin = 8;
const uint8_t kReleaseGpaPin = 9;

// Thermistors, 10 kohm with B = 3950, from the pin to ground, 10 kohm from the pin to 5 V.
const uint8_t kMagnetPin = A0;
const uint8_t kRoomPin = A1;
const uint8_t kGpaPin = A2;

static void sendToHost(const char* text, size_t length, void*) {
  Serial.write(reinterpret_cast<const uint8_t*>(text), length);
}

static isocenter::LineCore core(sendToHost, nullptr);
static isocenter::Inputs inputs;

static int16_t hundredthsOfDegree(uint8_t pin) {
  const int code = analogRead(pin);
  if (code < 20 || code > 1003) return isocenter::kUnknown;  // shorted or not connected
  const float ohms = 10000.0f * code / (1023.0f - code);
  const float kelvin = 1.0f / (1.0f / 298.15f + log(ohms / 10000.0f) / 3950.0f);
  return static_cast<int16_t>((kelvin - 273.15f) * 100.0f);
}

static void readContacts() {
  inputs.estop = digitalRead(kEstopPin) == HIGH;
  inputs.door = digitalRead(kDoorPin) == HIGH;
  inputs.gpa_fault = digitalRead(kGpaFaultPin) == HIGH;
  inputs.gpa_hot = digitalRead(kGpaHotPin) == HIGH;
  inputs.rf_fault = digitalRead(kRfFaultPin) == HIGH;
  inputs.ups = digitalRead(kUpsPin) == HIGH;
}

static void readTemperatures() {
  static uint32_t last_ms = 0;
  if (millis() - last_ms < 1000 && inputs.t_room != isocenter::kUnknown) return;
  last_ms = millis();
  inputs.t_magnet = hundredthsOfDegree(kMagnetPin);
  inputs.t_room = hundredthsOfDegree(kRoomPin);
  inputs.t_gpa = hundredthsOfDegree(kGpaPin);
}

// A latch survives a restart: opening the port starts most Arduinos anew, and that must not clear it.
static void restoreLatch() {
#if defined(__AVR__)
  const uint8_t stored = EEPROM.read(0);
  if (stored <= static_cast<uint8_t>(isocenter::Cause::kDoor)) core.restore(static_cast<isocenter::Cause>(stored));
#endif
}

static void storeLatch() {
#if defined(__AVR__)
  EEPROM.update(0, static_cast<uint8_t>(core.latchedBy()));  // writes only what has changed
#endif
}

static void setOutputs() {
  const uint8_t level = core.outputsReleased() ? HIGH : LOW;
  digitalWrite(kReleaseRfPin, level);
  digitalWrite(kReleaseGpaPin, level);
}

void setup() {
  digitalWrite(kReleaseRfPin, LOW);
  digitalWrite(kReleaseGpaPin, LOW);
  pinMode(kReleaseRfPin, OUTPUT);
  pinMode(kReleaseGpaPin, OUTPUT);
  const uint8_t contacts[] = {kEstopPin, kDoorPin, kGpaFaultPin, kGpaHotPin, kRfFaultPin, kUpsPin};
  for (uint8_t pin : contacts) pinMode(pin, INPUT_PULLUP);
  restoreLatch();
  Serial.begin(115200);
#if defined(__AVR__)
  wdt_enable(WDTO_250MS);  // a program that hangs starts anew, outputs cut; needs a boot loader that allows it (Optiboot)
#endif
}

void loop() {
#if defined(__AVR__)
  wdt_reset();
#endif
  readContacts();
  readTemperatures();
  core.tick(millis(), inputs);
  setOutputs();
  while (Serial.available() > 0) {
    core.tick(millis(), inputs);
    core.feed(static_cast<char>(Serial.read()));
    setOutputs();
  }
  storeLatch();
}
