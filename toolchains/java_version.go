package toolchains

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// jdk is an installed Java with a compiler.
type jdk struct {
	home    string
	version string // 17.0.15; 8.0.392 for what calls itself 1.8.0_392
}

// jdkHomes is where Debian and others install each Java in a directory of its
// own.
const jdkHomes = "/usr/lib/jvm/*"

// chooseJDK takes the first Java, the usual one before others, that is of the
// version the app asks for.
func chooseJDK(b *hop3.Build, src fs.FS) (jdk, error) {
	homes := []string{b.Env["JAVA_HOME"]}
	if javac := find(b, "javac"); javac != "" {
		if file, err := filepath.EvalSymlinks(javac); err == nil {
			homes = append(homes, filepath.Dir(filepath.Dir(file)))
		}
	}
	others, _ := filepath.Glob(jdkHomes)
	wanted := askedJava(src)
	var have []string
	for _, home := range append(homes, others...) {
		found, ok := jdkAt(home)
		if !ok {
			continue
		}
		if wanted.version == "" || wanted.is(found.version, 1) {
			return found, wanted.check(b, "Java", found.version, 1)
		}
		if !slices.Contains(have, found.version) {
			have = append(have, found.version)
		}
	}
	if len(have) == 0 {
		return jdk{}, missing("Java, as a JDK,", "default-jdk-headless")
	}
	major, _, _ := strings.Cut(wanted.version, ".")
	return jdk{}, hop3.Errorf(hop3.CodeDeploy, "the app asks for Java %s (%s); this server has %s", wanted.version, wanted.where, strings.Join(have, ", ")).
		WithHint("Install it (on Debian and Ubuntu: apt-get install openjdk-%s-jdk-headless), or change %s.", major, wanted.where)
}

var (
	jdkRelease  = regexp.MustCompile(`(?m)^JAVA_VERSION="(?:1\.)?([^"]+)"`)
	javaRuntime = regexp.MustCompile(`(?m)^\s*java\.runtime\.version\s*[=:]\s*(\S+)`)
)

// jdkAt returns the JDK in a directory, when there is one.
func jdkAt(home string) (jdk, bool) {
	if home == "" || !exists(filepath.Join(home, "bin", "javac")) {
		return jdk{}, false
	}
	text, err := os.ReadFile(filepath.Join(home, "release"))
	if err != nil {
		return jdk{}, false
	}
	m := jdkRelease.FindSubmatch(text)
	if m == nil {
		return jdk{}, false
	}
	return jdk{home, strings.ReplaceAll(string(m[1]), "_", ".")}, true
}

// askedJava returns the version that the app asks for. Java 8 is also called
// 1.8.
func askedJava(src fs.FS) asked {
	a := askedIn(src, "java", ".java-version")
	if m := javaRuntime.FindStringSubmatch(read(src, "system.properties")); m != nil {
		if v := versionWord.FindStringSubmatch(m[1]); v != nil {
			a = asked{v[1], "system.properties"}
		}
	}
	a.version = strings.TrimPrefix(a.version, "1.")
	return a
}
