package toolchains

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/abilian/hop3/hop3"
)

func TestEntry_IsFilledOnceByBuildsAtOnce(t *testing.T) {
	b := &hop3.Build{Cache: t.TempDir()}
	var fills atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			dir, err := entry(t.Context(), b, "x", "key", func(dir string) error {
				fills.Add(1)
				return os.WriteFile(filepath.Join(dir, "file"), nil, 0o644)
			})
			if err != nil || !exists(filepath.Join(dir, "file")) {
				t.Errorf("got %q, %v", dir, err)
			}
		})
	}
	wg.Wait()
	if n := fills.Load(); n != 1 {
		t.Errorf("it was filled %d times", n)
	}
}

func TestEntry_HalfFilledDoesNotCount(t *testing.T) {
	b := &hop3.Build{Cache: t.TempDir()}
	left := filepath.Join(b.Cache, "x-key", "left by a crash")
	if err := os.MkdirAll(left, 0o755); err != nil {
		t.Fatal(err)
	}
	failure := errors.New("no network")
	dir := filepath.Dir(left)
	if _, err := entry(t.Context(), b, "x", "key", func(string) error { return failure }); !errors.Is(err, failure) || exists(dir) {
		t.Errorf("after a failure: %v", err)
	}
	filled, err := entry(t.Context(), b, "x", "key", func(string) error { return nil })
	if err != nil || filled != dir || exists(left) {
		t.Errorf("got %q, %v", filled, err)
	}
}

func TestEntry_WaitsNoLongerThanItsContext(t *testing.T) {
	b := &hop3.Build{Cache: t.TempDir()}
	unlock, err := lock(t.Context(), filepath.Join(b.Cache, "x-key.lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := entry(ctx, b, "x", "key", func(string) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
