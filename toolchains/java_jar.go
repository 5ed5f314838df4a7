package toolchains

import (
	"archive/zip"
	"bufio"
	"bytes"
	"io"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
)

// jar is a program that `java -jar` runs.
type jar struct {
	name   string // relative to the source
	size   int64
	spring bool // Spring Boot
}

// command starts the program. Spring Boot is told its address; others read
// PORT.
func (j *jar) command() string {
	if j.spring {
		return "java -Dserver.port=$PORT -Dserver.address=${BIND_ADDRESS:-127.0.0.1} $JAVA_OPTS -jar " + quote(j.name)
	}
	return "java $JAVA_OPTS -jar " + quote(j.name)
}

// jarPlaces is where builds put their jars; those of parts of a project come
// last.
var jarPlaces = [][]string{
	{"target/quarkus-app/*.jar", "build/quarkus-app/*.jar"},
	{"target/*.jar", "target/uberjar/*.jar", "build/libs/*.jar"},
	{"*/target/*.jar", "*/build/libs/*.jar"},
}

// notPrograms are jars that a build makes beside its program.
var notPrograms = regexp.MustCompile(`(^original-.*|-(sources|javadoc|tests|plain))\.jar$`)

// findJar returns the runnable jar: the largest, since it is the one with the
// dependencies in it. It is nil when there is none.
func findJar(src fs.FS) *jar {
	for _, patterns := range jarPlaces {
		var found *jar
		for _, pattern := range patterns {
			names, _ := fs.Glob(src, pattern)
			for _, name := range names {
				if notPrograms.MatchString(filepath.Base(name)) || !has(src, name) {
					continue
				}
				if j := openJar(src, name); j != nil && (found == nil || j.size > found.size) {
					found = j
				}
			}
		}
		if found != nil {
			return found
		}
	}
	return nil
}

// openJar returns the jar when its manifest names a class to run.
func openJar(src fs.FS, name string) *jar {
	f, err := src.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil
	}
	at, ok := f.(io.ReaderAt)
	if !ok {
		return nil
	}
	archive, err := zip.NewReader(at, info.Size())
	if err != nil {
		return nil
	}
	manifest, err := archive.Open("META-INF/MANIFEST.MF")
	if err != nil {
		return nil
	}
	defer manifest.Close()
	text, err := io.ReadAll(io.LimitReader(manifest, 1<<20))
	if err != nil {
		return nil
	}
	j := &jar{name: name, size: info.Size()}
	runnable := false
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		key, _, _ := strings.Cut(lines.Text(), ":")
		runnable = runnable || key == "Main-Class"
		j.spring = j.spring || key == "Spring-Boot-Version"
	}
	if !runnable {
		return nil
	}
	return j
}
