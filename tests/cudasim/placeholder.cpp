namespace cudasim { void placeholder() {} }
