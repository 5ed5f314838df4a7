package supervisor

import (
	"os"
	"testing"
)

// TestLogsOfAChattyAppStaySmall has two instances write without end.
func TestLogsOfAChattyAppStaySmall(t *testing.T) {
	const limit = 1 << 20
	s, err := New(Options{RunDir: t.TempDir(), LogMaxBytes: limit})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	i := start(t, s, worker(t, "while :; do head -c 100000 /dev/zero | tr '\\0' x; echo; done", 1))[0]
	defer stop(t, s)
	eventually(t, "the log has been rotated twice", func() bool {
		_, err := os.Stat(i.LogFile + ".2")
		return err == nil
	})
	for range 20 {
		for _, file := range []string{i.LogFile, i.LogFile + ".1", i.LogFile + ".2"} {
			if info, err := os.Stat(file); err == nil && info.Size() > 100*limit {
				t.Fatalf("%s has %d bytes", file, info.Size())
			}
		}
	}
}
