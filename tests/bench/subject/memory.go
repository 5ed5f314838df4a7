package subject

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// PSS returns the proportional set size of a process in MB.
func PSS(pid int) (float64, error) {
	return megabytes(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "\nPss:")
}

// RSS returns what is resident of a process in MB.
func RSS(pid int) (float64, error) {
	return megabytes(fmt.Sprintf("/proc/%d/status", pid), "\nVmRSS:")
}

// ResetPeak makes Peak count from now on.
func ResetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// Peak returns the most that was resident of a process in MB.
func Peak(pid int) (float64, error) {
	return megabytes(fmt.Sprintf("/proc/%d/status", pid), "\nVmHWM:")
}

func megabytes(file, field string) (float64, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	_, after, found := strings.Cut(string(b), field)
	var kb float64
	if _, err := fmt.Sscan(after, &kb); !found || err != nil {
		return 0, fmt.Errorf("%s has no %q", file, strings.TrimSpace(field))
	}
	return kb / 1024, nil
}

// WatchPeak looks at the git processes whose arguments have one of the words
// until ctx ends and returns the sum of their peaks in MB.
func WatchPeak(ctx context.Context, words ...string) (sum float64) {
	peaks := map[int]float64{}
	for ctx.Err() == nil {
		for _, pid := range running(words) {
			if peak, err := Peak(pid); err == nil { // otherwise it has just ended
				peaks[pid] = max(peaks[pid], peak)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	for _, peak := range peaks {
		sum += peak
	}
	return sum
}

// running returns git's processes that run one of the subcommands.
func running(subcommands []string) (pids []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			continue
		}
		args := strings.Split(string(cmdline), "\x00")
		program := filepath.Base(args[0])
		for _, sub := range subcommands {
			if program == "git-"+sub || program == "git" && slices.Contains(args[1:], sub) {
				pids = append(pids, pid)
				break
			}
		}
	}
	return pids
}
