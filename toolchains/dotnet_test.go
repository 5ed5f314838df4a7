package toolchains_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3/hop3test"
	"github.com/abilian/hop3/toolchains"
)

func TestDotNet_TheSDKThatIsMissingIsNamed(t *testing.T) {
	t.Setenv("PATH", programsOnly(t))
	for _, file := range []string{"app.csproj", "app.fsproj", "app.sln"} {
		if reason, ok := new(toolchains.DotNet).Detect(fileSystem(file)); !ok || reason != file {
			t.Errorf("%s: detected by %q: %v", file, reason, ok)
		}
		err := refusal(t, new(toolchains.DotNet), map[string]string{file: ""})
		if want := "the .NET SDK is not installed on this server\nOn Ubuntu: apt-get install dotnet-sdk-"; !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

// TestDotNet_StartsWhatWasPublished has an SDK that only says what it is asked
// to do.
func TestDotNet_StartsWhatWasPublished(t *testing.T) {
	t.Setenv("PATH", withProgram(t, "dotnet", `#!/bin/sh
case $1 in
--version) echo 8.0.100 ;;
restore) ;;
publish)
	mkdir -p bin/Release/net8.0/publish
	echo '{"frameworks": [{"name": "Microsoft.AspNetCore.App"}]}' > bin/Release/net8.0/publish/app.runtimeconfig.json ;;
*) exit 1 ;;
esac
`))
	dir := t.TempDir()
	project := filepath.Join(dir, "app.csproj")
	write(t, project, "<TargetFramework>net8.0</TargetFramework>", 0o644)
	app := hop3test.BuildApp(t, t.TempDir(), dir, new(toolchains.DotNet))
	const want = "dotnet 'bin/Release/net8.0/publish/app.dll' --urls http://${BIND_ADDRESS:-127.0.0.1}:$PORT --contentRoot 'bin/Release/net8.0/publish'"
	if len(app.Artifact.Processes) != 1 || app.Artifact.Processes[0].Command != want {
		t.Errorf("it offers %+v, want %s", app.Artifact.Processes, want)
	}
	write(t, project, "<TargetFramework>net9.0</TargetFramework>", 0o644)
	if err := refusalOf(t, new(toolchains.DotNet), dir); !strings.Contains(err.Error(), "app.csproj asks for .NET 9; this server has 8.0.100") {
		t.Error(err)
	}
	t.Setenv("PATH", withProgram(t, "dotnet", "#!/bin/sh\n[ $1 = --version ] && echo 9.0.1\n"))
	if err := refusalOf(t, new(toolchains.DotNet), dir); !strings.Contains(err.Error(), "the command `dotnet restore app.csproj` failed") {
		t.Error(err)
	}
}
