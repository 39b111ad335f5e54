;; Counts the words of a text: the module of the WebAssembly guide, as small as it can be written by hand.
;; `count(pointer, length) -> i64` takes text and returns a decimal number as text.
(module
  (import "bireme" "fail" (func $fail (param i32 i32)))
  (memory (export "memory") 1)
  (global $free (mut i32) (i32.const 1024))
  (data (i32.const 0) "there is no text")

  ;; Gives room for `length` bytes; nothing is ever given back, since an instance runs one attempt.
  (func $alloc (export "alloc") (param $length i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $free))
    (global.set $free (i32.add (global.get $free) (local.get $length)))
    (block $fits
      (br_if $fits (i32.le_u (global.get $free) (i32.mul (memory.size) (i32.const 65536))))
      (if (i32.eq
            (memory.grow (i32.add (i32.shr_u (local.get $length) (i32.const 16)) (i32.const 1)))
            (i32.const -1))
        (then unreachable)))
    (local.get $at))

  (func (export "count") (param $at i32) (param $length i32) (result i64)
    (local $end i32) (local $words i32) (local $inside i32) (local $letter i32) (local $digit i32)
    (if (i32.eqz (local.get $length)) (then (call $fail (i32.const 0) (i32.const 16))))
    (local.set $end (i32.add (local.get $at) (local.get $length)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $letter (i32.load8_u (local.get $at)))
        (if (i32.le_u (local.get $letter) (i32.const 32))
          (then (local.set $inside (i32.const 0)))
          (else
            (if (i32.eqz (local.get $inside))
              (then (local.set $words (i32.add (local.get $words) (i32.const 1)))))
            (local.set $inside (i32.const 1))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    ;; Digits are written from the last to the first, before address 1024.
    (local.set $digit (i32.const 1024))
    (loop $more
      (local.set $digit (i32.sub (local.get $digit) (i32.const 1)))
      (i32.store8 (local.get $digit)
        (i32.add (i32.const 48) (i32.rem_u (local.get $words) (i32.const 10))))
      (local.set $words (i32.div_u (local.get $words) (i32.const 10)))
      (br_if $more (local.get $words)))
    (i64.or
      (i64.shl (i64.extend_i32_u (local.get $digit)) (i64.const 32))
      (i64.extend_i32_u (i32.sub (i32.const 1024) (local.get $digit))))))
