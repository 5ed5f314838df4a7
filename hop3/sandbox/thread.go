package sandbox

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// onThread calls f on an operating system thread that ends with it, whatever f
// has made of it: its namespaces, groups and rights.
func onThread(f func() error) error {
	result := make(chan error, 1)
	go runOnce(f, result)
	return <-result
}

// runOnce is the goroutine. It ends without unlocking its thread, which ends
// the thread. The main thread cannot end, and all of /proc/<pid> shows what it
// is like: held here meanwhile, it leaves another one to a second goroutine.
func runOnce(f func() error, result chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() == os.Getpid() {
		defer runtime.UnlockOSThread()
		again := make(chan error, 1)
		go runOnce(f, again)
		result <- <-again
		return
	}
	err := fmt.Errorf("a thread for a sandbox ended early")
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic in a sandbox: %v\n%s", v, debug.Stack())
		}
		result <- err
	}()
	err = f()
}
