module example.org/my-runtime-adapter

go 1.21
