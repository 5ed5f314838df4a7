package supervisor

import (
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/logfile"
)

// BenchmarkSpawn measures starting an instance, and starting the same command
// by hand beside it, in turn. "x-by-hand" is how many times as long it takes.
func BenchmarkSpawn(b *testing.B) {
	s, err := New(Options{RunDir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	l := hop3.Launch{
		ID: shop, Dir: b.TempDir(), LogDir: b.TempDir(), Env: hop3.Env{},
		Processes: []hop3.Process{{Type: "worker", Command: "sleep 600", Count: 1}},
	}
	var here, byHand time.Duration
	for b.Loop() {
		began := time.Now()
		if _, err := s.Start(b.Context(), l); err != nil {
			b.Fatal(err)
		}
		here += time.Since(began)
		b.StopTimer()
		if err := s.Stop(b.Context(), shop, 0); err != nil {
			b.Fatal(err)
		}
		byHand += startByHand(b, l)
		b.StartTimer()
	}
	b.ReportMetric(float64(here.Microseconds())/float64(b.N), "µs/spawn")
	b.ReportMetric(float64(byHand.Microseconds())/float64(b.N), "µs/by-hand")
	b.ReportMetric(float64(here)/float64(byHand), "x-by-hand")
}

func startByHand(b *testing.B, l hop3.Launch) time.Duration {
	began := time.Now()
	log, err := logfile.Open(logFile(&l, "hand", 1))
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command("/bin/sh", "-c", "exec sleep 600")
	cmd.Dir, cmd.Stdout, cmd.Stderr = l.Dir, log, log
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	took := time.Since(began)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	return took
}

// BenchmarkIdle measures what an instance that does nothing costs the server.
func BenchmarkIdle(b *testing.B) {
	const count = 200
	s, err := New(Options{RunDir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	l := hop3.Launch{ID: shop, Dir: b.TempDir(), LogDir: b.TempDir(), Env: hop3.Env{}}
	l.Processes = []hop3.Process{{Type: "worker", Command: "sleep 600", Count: count}}
	for b.Loop() {
		memory, goroutines, files := memoryInUse(), runtime.NumGoroutine(), openFiles(b)
		if _, err := s.Start(b.Context(), l); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(int64(memoryInUse()-memory))/count, "B/instance")
		b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/count, "goroutines/instance")
		b.ReportMetric(float64(openFiles(b)-files)/count, "files/instance")
		b.StopTimer()
		if err := s.Stop(b.Context(), shop, 0); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func memoryInUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

func openFiles(b *testing.B) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		b.Fatal(err)
	}
	return len(entries)
}
