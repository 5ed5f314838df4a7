module example.org/layout/v2

go 1.24
