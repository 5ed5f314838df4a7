package sqldump

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// BenchmarkScanner reads a dump of 64 MiB.
func BenchmarkScanner(b *testing.B) {
	row := "(12345,'ada@example.com','" + strings.Repeat("some text, with \\'quotes\\' ", 20) + "',NULL,'2026-01-02 03:04:05'),"
	insert := "INSERT INTO `users` VALUES " + strings.Repeat(row, 1<<20/len(row)) + "(1,'','',NULL,NULL);\n"
	dump := []byte(strings.Repeat(insert, 64))
	b.SetBytes(int64(len(dump)))
	for b.Loop() {
		s := NewScanner(bytes.NewReader(dump))
		for {
			if _, err := s.Next(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
	}
}
