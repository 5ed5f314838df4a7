package hop3test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"testing/iotest"

	"github.com/abilian/hop3/hop3"
)

// rotated returns the addon on its way to other credentials, which are valid
// beside the old.
func (t *addonTest) rotated(r hop3.AddonRotator, a hop3.Addon) hop3.Addon {
	t.Helper()
	old := maps.Clone(a.Details)
	details, err := r.Rotated(t.Context(), a)
	if err != nil {
		t.Fatalf("Rotated: %v", err)
	}
	if !maps.Equal(a.Details, old) {
		t.Fatal("Rotated changed the details it was given")
	}
	next := a
	next.Details, next.Last = details, old
	if maps.Equal(t.provider.Variables(next), t.provider.Variables(a)) {
		t.Fatal("after a rotation an app has what it had")
	}
	t.shut(next, "before Create of the new credentials")
	t.Cleanup(func() { t.destroy(next) })
	t.create(next)
	return next
}

func (t *addonTest) rotates() {
	r, ok := t.provider.(hop3.AddonRotator)
	if !ok {
		t.Skip("it does not rotate")
	}
	a := t.made("rotated")
	t.write(a, "first", "of the first")
	for _, round := range []string{"once", "twice"} {
		next := t.rotated(r, a)
		t.write(next, round+" new", "of the new")
		t.write(a, round+" old", "of the old")
		t.alter(next)
		t.alter(a)
		both := func(when string) {
			t.Helper()
			t.holds(next, "first", "of the first")
			t.holds(next, round+" new", "of the new")
			t.holds(next, round+" old", "of the old")
			if t.Failed() {
				t.Fatalf("rotated %s: %s", round, when)
			}
		}
		both("before the old credentials are revoked")
		t.holds(a, round+" new", "of the new")
		for range 2 {
			if err := r.Revoke(t.Context(), next, a.Details); err != nil {
				t.Fatalf("Revoke: %v", err)
			}
			t.shut(a, "revoked")
			both("afterwards")
		}
		t.alter(next)
		next.Last = nil
		t.create(next)
		t.shut(a, "created again")
		a = next
	}
	t.destroy(a)
	t.shut(a, "destroyed")
}

func (t *addonTest) alter(a hop3.Addon) {
	t.Helper()
	if t.client.Alter == nil {
		return
	}
	if err := t.client.Alter(t.Context(), t.provider.Variables(a)); err != nil {
		t.Errorf("altering what %s has: %v", a.Name, err)
	}
}

func (t *addonTest) rotationGivenUp() {
	r, ok := t.provider.(hop3.AddonRotator)
	if !ok {
		t.Skip("it does not rotate")
	}
	a := t.made("given-up")
	t.write(a, "key", "value")
	details, err := r.Rotated(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	// Nothing was made of it: there is nothing to revoke.
	if err := r.Revoke(t.Context(), a, details); err != nil {
		t.Errorf("Revoke of what was never valid: %v", err)
	}
	next := t.rotated(r, a)
	t.write(next, "key", "new value")
	if err := r.Revoke(t.Context(), a, next.Details); err != nil {
		t.Fatalf("Revoke of the new credentials: %v", err)
	}
	t.shut(next, "given up")
	t.holds(a, "key", "new value")
	t.alter(a)
	// Destroyed half way, both go.
	next = t.rotated(r, a)
	a.Next = next.Details
	t.destroy(a)
	t.shut(next, "destroyed")
	a.Next = nil
	t.create(a)
	t.shut(next, "made again")
	t.write(a, "other", "value")
	t.holds(a, "key", "")
}

func (t *addonTest) dumper() hop3.AddonDumper {
	t.Helper()
	d, ok := t.provider.(hop3.AddonDumper)
	if !ok {
		t.Skip("it has no dumps")
	}
	if s := d.DumpSuffix(); len(s) < 2 || s[0] != '.' {
		t.Errorf("the suffix of its dumps is %q", s)
	}
	return d
}

func (t *addonTest) inventory(a hop3.Addon) hop3.Inventory {
	t.Helper()
	i, err := t.provider.(hop3.AddonDumper).Inventory(t.Context(), a)
	if err != nil {
		t.Fatalf("Inventory of %s: %v", a.Name, err)
	}
	return i
}

func (t *addonTest) dump(a hop3.Addon) ([]byte, hop3.Inventory) {
	t.Helper()
	var text bytes.Buffer
	i, err := t.provider.(hop3.AddonDumper).Dump(t.Context(), a, &text)
	if err != nil {
		t.Fatalf("Dump of %s: %v", a.Name, err)
	}
	return text.Bytes(), i
}

func (t *addonTest) restore(a hop3.Addon, dump []byte) error {
	return t.provider.(hop3.AddonDumper).Restore(t.Context(), a, bytes.NewReader(dump))
}

// dumped restores dumps: of one addon into another that holds something else,
// into itself, and of an addon that holds nothing.
func (t *addonTest) dumped() {
	t.dumper()
	a, b := t.made("dumped"), t.made("restored")
	empty, none := t.dump(a)
	for i, value := range hostileValues {
		t.write(a, fmt.Sprintf("hostile %d", i), value)
	}
	for i := range 12 {
		t.write(a, fmt.Sprintf("key %d", i), fmt.Sprintf("value %d", i))
	}
	t.write(b, "key 1", "another")
	t.write(b, "alone", "gone")

	text, held := t.dump(a)
	t.tells("a dump", string(text), t.secrets(a))
	if got := t.inventory(a); len(held) == 0 || !maps.Equal(got, held) || maps.Equal(held, none) {
		t.Errorf("the dump has %v, the addon holds %v, an empty one %v", held, got, none)
	}
	t.write(a, "key 1", "changed since")
	t.write(a, "key 1000", "new since")
	for range 2 {
		if err := t.restore(b, text); err != nil {
			t.Fatalf("Restore into another addon: %v", err)
		}
		if got := t.inventory(b); !maps.Equal(got, held) {
			t.Errorf("after the restore it holds %v, want %v", got, held)
		}
		for i, value := range hostileValues {
			t.holds(b, fmt.Sprintf("hostile %d", i), value)
		}
		t.holds(b, "key 1", "value 1")
		t.holds(b, "key 11", "value 11")
		t.holds(b, "alone", "")
		t.holds(a, "key 1", "changed since")
	}
	t.write(b, "more", "value")
	t.alter(b)
	if err := t.restore(a, text); err != nil {
		t.Fatalf("Restore into the addon itself: %v", err)
	}
	t.holds(a, "key 1", "value 1")
	t.holds(a, "key 1000", "")
	if err := t.restore(a, empty); err != nil {
		t.Fatalf("Restore of nothing: %v", err)
	}
	if got := t.inventory(a); !maps.Equal(got, none) {
		t.Errorf("a restore of nothing leaves %v, want %v", got, none)
	}
	t.write(a, "key 1", "again")
	t.holds(b, "key 1", "value 1")
	if r, ok := t.provider.(hop3.AddonRotator); ok { // what is restored has the same owner
		next := t.rotated(r, b)
		if err := r.Revoke(t.Context(), next, b.Details); err != nil {
			t.Fatal(err)
		}
		t.write(next, "key 2", "rotated")
		t.alter(next)
	}
}

// truncated restores what is left of a dump, and what never was one.
func (t *addonTest) truncated() {
	t.dumper()
	a, b := t.made("whole"), t.made("kept")
	for i := range 9 {
		t.write(a, fmt.Sprintf("key %d", i), fmt.Sprintf("value %d", i))
	}
	text, _ := t.dump(a)
	lost := errors.New("the connection was lost")
	for what, dump := range map[string]io.Reader{
		"an empty one":     bytes.NewReader(nil),
		"its first half":   bytes.NewReader(text[:len(text)/2]),
		"most of it":       bytes.NewReader(text[:len(text)*9/10]),
		"text":             bytes.NewReader([]byte("this is no dump\n")),
		"one cut off":      io.MultiReader(bytes.NewReader(text[:len(text)/2]), iotest.ErrReader(lost)),
		"one cut off late": io.MultiReader(bytes.NewReader(text), iotest.ErrReader(lost)),
	} {
		t.write(b, "key 1", "mine")
		if err := t.provider.(hop3.AddonDumper).Restore(t.Context(), b, dump); err == nil {
			t.Errorf("a restore of %s is no error", what)
		}
		if t.client.Fragile {
			continue
		}
		t.holds(b, "key 1", "mine")
		t.holds(b, "key 2", "")
	}
	if err := t.restore(b, text); err != nil {
		t.Errorf("the whole one afterwards: %v", err)
	}
	t.holds(b, "key 2", "value 2")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := t.provider.(hop3.AddonDumper).Restore(ctx, a, bytes.NewReader(text)); err == nil {
		t.Error("a restore without time is no error")
	}
	if !t.client.Fragile {
		t.holds(a, "key 2", "value 2")
	}
}

// unwritten dumps to where nothing can be written, without time, and of what
// is not there.
func (t *addonTest) unwritten() {
	d := t.dumper()
	a, none := t.made("unwritten"), t.planned("not-there")
	t.write(a, "key", "value")
	full := errors.New("the disk is full")
	if _, err := d.Dump(t.Context(), a, failingWriter{full}); !errors.Is(err, full) {
		t.Errorf("a dump to a full disk: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Dump(ctx, a, io.Discard); err == nil {
		t.Error("a dump without time is no error")
	}
	if _, err := d.Inventory(ctx, a); err == nil {
		t.Error("an inventory without time is no error")
	}
	if i, err := d.Dump(t.Context(), none, io.Discard); err == nil {
		t.Errorf("the dump of what is not there has %v", i)
	}
	if i, err := d.Inventory(t.Context(), none); err == nil {
		t.Errorf("what is not there holds %v", i)
	}
	t.holds(a, "key", "value")
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }
